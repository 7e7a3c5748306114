/// dim3 and the vector types, as CUDA has them.
#pragma once
#include <cstdint>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
using uint3 = dim3;

#define EMULATOR_VECTOR(type, name)                                                      \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                               \
  struct alignas(sizeof(type) < 8 ? 4 * sizeof(type) : 16) name##4 { type x, y, z, w; }; \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                       \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMULATOR_VECTOR(int8_t, char)
EMULATOR_VECTOR(uint8_t, uchar)
EMULATOR_VECTOR(int16_t, short)
EMULATOR_VECTOR(uint16_t, ushort)
EMULATOR_VECTOR(int32_t, int)
EMULATOR_VECTOR(uint32_t, uint)
EMULATOR_VECTOR(long long, longlong)
EMULATOR_VECTOR(unsigned long long, ulonglong)
EMULATOR_VECTOR(float, float)
EMULATOR_VECTOR(double, double)
#undef EMULATOR_VECTOR
