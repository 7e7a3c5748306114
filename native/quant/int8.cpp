#include "quant/int8.h"

#include <atomic>
#include <cmath>

#include "base/error.h"
#include "quant/packed.h"
#include "quant/weight.h"

namespace fedlora {

namespace {

constexpr float f16_limit = 65520.0f;  // from here on f16 rounds to infinity

/// to_f32(to_f16(x)) for |x| < 65520 without a branch. Below 2^-14 the spacing of f16 is 2^-24, that of floats in [0.5, 1).
inline float round_to_f16(float x) {
  const int32_t magnitude = magnitude_bits(x);
  const int32_t normal = (magnitude + 0xfff + ((magnitude >> 13) & 1)) & ~0x1fff;
  const int32_t tiny = std::bit_cast<int32_t>((std::bit_cast<float>(magnitude) + 0.5f) - 0.5f);
  const int32_t rounded = magnitude < 0x38800000 ? tiny : normal;
  return std::bit_cast<float>(rounded | (std::bit_cast<int32_t>(x) & static_cast<int32_t>(0x80000000u)));
}

}  // namespace

Matrix encode_int8(const TensorView& weight, ThreadPool& pool) {
  check_weight(weight);
  Matrix matrix = make_matrix(Format::int8, weight.shape[0], weight.shape[1], 0, false);

  const int64_t K = matrix.K;
  AlignedBuffer<float> rows(static_cast<size_t>(pool.threads() * K));
  std::atomic<bool> finite{true};
  pool.run(matrix.N, [&](int64_t n, int member) {
    float* x = rows.data() + member * K;
    load_weight(weight, n * K, K, x);
    if (max_magnitude_bits(x, K) >= magnitude_bits(f16_limit)) return finite.store(false, std::memory_order_relaxed);
    if (weight.dtype != DType::f16)
      for (int64_t k = 0; k < K; ++k) x[k] = round_to_f16(x[k]);
    const float absmax = std::bit_cast<float>(max_magnitude_bits(x, K));
    matrix.absmax[static_cast<size_t>(n)] = absmax;
    if (absmax == 0) return;
    const float scale = (1.0f / absmax) * 127.0f;  // two roundings: torch divides a number by a tensor this way
    int8_t* q = reinterpret_cast<int8_t*>(matrix.data.data()) + n * K;
    for (int64_t k = 0; k < K; ++k) q[k] = static_cast<int8_t>(static_cast<int32_t>(std::rint(x[k] * scale)));
  });
  if (!finite) fail_nonfinite(weight, f16_limit);
  return matrix;
}

void decode_int8(const Matrix& matrix, int64_t first, int64_t count, float* out) {
  for (int64_t i = first; i < first + count; ++i) {
    const float q = static_cast<float>(static_cast<int8_t>(matrix.data[static_cast<size_t>(i)]));
    out[i - first] = q * matrix.absmax[static_cast<size_t>(i / matrix.K)] / 127.0f;
  }
}

}  // namespace fedlora
