#include "quant/ggml_encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"

namespace fedlora {

namespace {

void put_half(float value, uint8_t* out) {
  const f16 half = to_f16(value);
  std::memcpy(out, &half.bits, sizeof half.bits);
}

void encode_q8_0(const float* x, uint8_t* out) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = largest / 127.0f, inverse = d == 0 ? 0 : 1.0f / d;
  put_half(d, out);
  for (int i = 0; i < 32; ++i) out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i] * inverse)));
}

void encode_q4_0(const float* x, uint8_t* out) {
  float largest = 0, signed_largest = 0;
  for (int i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > largest) {
      largest = std::fabs(x[i]);
      signed_largest = x[i];
    }
  const float d = signed_largest / -8.0f, inverse = d == 0 ? 0 : 1.0f / d;
  put_half(d, out);
  const auto code = [&](float w) { return std::min(15, static_cast<int>(w * inverse + 8.5f)); };
  for (int i = 0; i < 16; ++i) out[2 + i] = static_cast<uint8_t>(code(x[i]) | code(x[16 + i]) << 4);
}

}  // namespace

bool can_encode_ggml(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::q8_0 || dtype == DType::q4_0;
}

void encode_ggml(DType dtype, const float* x, int64_t count, uint8_t* out) {
  const auto half = [&](int64_t i, uint16_t bits) { std::memcpy(out + 2 * i, &bits, sizeof bits); };
  switch (dtype) {
    case DType::f32:
      std::memcpy(out, x, static_cast<size_t>(count) * sizeof(float));
      return;
    case DType::f16:
      for (int64_t i = 0; i < count; ++i) half(i, to_f16(x[i]).bits);
      return;
    case DType::bf16:
      for (int64_t i = 0; i < count; ++i) half(i, to_bf16(x[i]).bits);
      return;
    case DType::q8_0:
      for (int64_t b = 0; b < count / 32; ++b) encode_q8_0(x + 32 * b, out + 34 * b);
      return;
    case DType::q4_0:
      for (int64_t b = 0; b < count / 32; ++b) encode_q4_0(x + 32 * b, out + 18 * b);
      return;
    default:
      fail(Code::E_DTYPE, "GGUF is not written as %s, but as F32, F16, BF16, Q8_0 or Q4_0.", dtype_name(dtype));
  }
}

}  // namespace fedlora
