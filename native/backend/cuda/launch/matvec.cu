#include "backend/cuda/launch/matvec.h"

#include <algorithm>

#include "backend/cuda/device/matvec.cuh"

namespace fedlora::cuda {

namespace {

dim3 grid_of(int64_t rows) { return dim3(static_cast<unsigned>((rows + matvec_warps - 1) / matvec_warps)); }

template <class Body>
void by_format(Format format, const Body& body) {
  switch (format) {
    case Format::f32:
      return body(std::integral_constant<Format, Format::f32>());
    case Format::f16:
      return body(std::integral_constant<Format, Format::f16>());
    case Format::bf16:
      return body(std::integral_constant<Format, Format::bf16>());
    case Format::int8:
      return body(std::integral_constant<Format, Format::int8>());
    default:  // the two of 4 bits differ in their tables
      return body(std::integral_constant<Format, Format::nf4>());
  }
}

template <class T, class Out>
void matvec(const Queue& queue, const T* x, const DeviceMatrix& W, float scale, const float* bias, float lora_scale, SmallFactor trained,
            SmallFactor frozen, Out* y) {
  CodeTable table{};
  if (is_4bit(W.format)) std::ranges::copy(codebook_of(W.format), table.value);
  const FrozenRows rows{W.N, W.K, W.block, W.data, W.absmax};
  by_format(W.format, [&](auto format) {
    FED_LAUNCH((matvec_kernel<decltype(format)::value, T, Out>), grid_of(W.N), dim3(matvec_threads), 0, queue.stream, rows, table, x, scale,
               bias, lora_scale, trained, frozen, y);
  });
}

/// h = A·x, where there is a rank.
template <class T>
SmallFactor factor(const Queue& queue, int rank, int64_t K, const T* x, const float* A, const float* B, float* h) {
  if (rank > 0) FED_LAUNCH((lora_down_row_kernel<T>), grid_of(rank), dim3(matvec_threads), 0, queue.stream, rank, K, x, A, h);
  return {rank, B, h};
}

}  // namespace

size_t lora_decode_workspace(const LoraPair& pair) { return static_cast<size_t>(pair.rank + pair.frozen.rank) * sizeof(float); }

void lora_linear_decode(const Queue& queue, const void* x, const DeviceMatrix& W, const float* bias, const LoraPair& pair, void* y,
                        Element element, void* workspace) {
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    const T* row = static_cast<const T*>(x);
    float* h = static_cast<float*>(workspace);
    const SmallFactor trained = factor(queue, pair.rank, W.K, row, pair.A, pair.B, h);
    const SmallFactor frozen = factor(queue, pair.frozen.rank, W.K, row, pair.frozen.A, pair.frozen.B, h + pair.rank);
    matvec(queue, row, W, 1.0f, bias, pair.scaling, trained, frozen, static_cast<T*>(y));
  });
}

void head_logits_decode(const Queue& queue, const void* x, const DeviceMatrix& head, float divider, float* logits, Element element) {
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    matvec(queue, static_cast<const T*>(x), head, 1.0f / divider, nullptr, 0.0f, {}, {}, logits);
  });
}

}  // namespace fedlora::cuda
