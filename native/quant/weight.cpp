#include "quant/weight.h"

#include <limits>

#include "base/error.h"
#include "quant/ggml_blocks.h"

namespace fedlora {

void check_weight(const TensorView& weight) {
  if (weight.dtype != DType::f32 && weight.dtype != DType::f16 && weight.dtype != DType::bf16 && !is_blocked(weight.dtype))
    fail(Code::E_DTYPE, "a weight to encode has dtype %s, expected F32, F16, BF16 or blocks of GGUF.", dtype_name(weight.dtype));
  if (weight.shape.size() != 2 || weight.shape[0] < 1 || weight.shape[1] < 1)
    fail(Code::E_SHAPE, "a weight to encode has %zu dimensions%s, expected two non-empty ones, [out_features, in_features].",
         weight.shape.size(), weight.shape.size() == 2 ? ", one of them empty" : "");
  const uint64_t N = static_cast<uint64_t>(weight.shape[0]), K = static_cast<uint64_t>(weight.shape[1]);
  const bool fits = N <= std::numeric_limits<uint64_t>::max() / 16 / K;
  const bool whole = K % static_cast<uint64_t>(dtype_traits(weight.dtype).block_elements) == 0;
  if (!fits || !whole || weight.data == nullptr || weight.bytes != stored_bytes(weight.dtype, N * K))
    fail(Code::E_SHAPE, "a weight to encode of %llu × %llu %s elements came with %zu bytes.", static_cast<unsigned long long>(N),
         static_cast<unsigned long long>(K), dtype_name(weight.dtype), weight.bytes);
}

void load_weight(const TensorView& weight, int64_t first, int64_t count, float* out) {
  if (is_blocked(weight.dtype)) return decode_blocked(weight.dtype, static_cast<const uint8_t*>(weight.data), first, count, out);
  const uint8_t* source = static_cast<const uint8_t*>(weight.data) + static_cast<size_t>(first) * dtype_bytes(weight.dtype);
  if (weight.dtype == DType::f32) {
    std::memcpy(out, source, static_cast<size_t>(count) * sizeof(float));
  } else if (weight.dtype == DType::bf16) {
    for (int64_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, source + 2 * i, 2);
      out[i] = std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, source + 2 * i, 2);
      const float value = finite_f16_to_f32(bits);
      out[i] = magnitude_bits(value) >= 0x47800000 ? std::numeric_limits<float>::infinity() : value;
    }
  }
}

void fail_nonfinite(const TensorView& weight, float limit) {
  const int64_t count = weight.elements(), K = weight.shape[1];
  for (int64_t i = 0; i < count; ++i) {
    float value;
    load_weight(weight, i, 1, &value);
    if (std::bit_cast<float>(magnitude_bits(value)) < limit) continue;
    if (magnitude_bits(value) >= infinity_bits)
      fail(Code::E_NONFINITE, "element [%lld, %lld] (index %lld) of the weight is not finite. The checkpoint is damaged; get it anew.",
           static_cast<long long>(i / K), static_cast<long long>(i % K), static_cast<long long>(i));
    fail(Code::E_NONFINITE,
         "element [%lld, %lld] (index %lld) of the weight is %g, beyond the largest number of the 16-bit format "
         "(%g). Choose nf4, bf16 or f32.",
         static_cast<long long>(i / K), static_cast<long long>(i % K), static_cast<long long>(i), static_cast<double>(value),
         static_cast<double>(limit));
  }
  fail(Code::E_INTERNAL, "a weight was reported as not finite, but every element is.");
}

}  // namespace fedlora
