/// What every kernel file includes first: short names of types, shared memory, launches, numbers of 16 bits, sums over a warp.
/// On a device and in the emulator alike: there <cuda_runtime.h> is the emulator's.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "backend/cuda/device/element.h"

#if defined(__CUDACC__)
#define DEV __device__ __forceinline__
/// Dynamic shared memory of the block, aligned to 1,024 bytes, as unsigned char*.
#define FED_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#define FED_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#else
#define DEV inline
#define FED_SHARED(name) unsigned char* name = emulator::shared_memory()
#define FED_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  emulator::launch(#kernel, kernel, grid, block, shared_bytes, stream __VA_OPT__(, ) __VA_ARGS__)
#endif

namespace fedlora::cuda {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

constexpr u32 whole_warp = ~0u;

// Numbers of 16 bits. From f32 they round to nearest even.
DEV float widen(u16 bits) { return __uint_as_float(static_cast<u32>(bits) << 16); }
/// Two bf16 in a register, `low` in the lower half.
DEV u32 pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__)
  u32 packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#elif defined(__CUDACC__)
  return 0;  // never run: the host's pass of nvcc only reads it
#else
  return emulator::narrow_bf16x2(low, high);
#endif
}
DEV u16 narrow(float value) { return static_cast<u16>(pack_bf16(value, 0.0f)); }
DEV float low_of(u32 pair) { return __uint_as_float(pair << 16); }
DEV float high_of(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

/// An activation's element as float, whichever type it is stored as.
template <class T>
DEV float load(const T* p);
template <>
DEV float load<float>(const float* p) {
  return *p;
}
template <>
DEV float load<bf16>(const bf16* p) {
  return widen(p->bits);
}
DEV void store(float* p, float value) { *p = value; }
DEV void store(bf16* p, float value) { p->bits = narrow(value); }

/// The sum over a warp, in every lane: pairs at distance 16, 8, … 1, the same order for every lane.
DEV float warp_sum(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(whole_warp, value, distance);
  return value;
}
DEV double warp_sum(double value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(whole_warp, value, distance);
  return value;
}
DEV float warp_max(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = fmaxf(value, __shfl_xor_sync(whole_warp, value, distance));
  return value;
}

}  // namespace fedlora::cuda
