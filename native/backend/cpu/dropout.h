/// Dropout of an adapter's input. Element (m, k) of the layer's x has index e = (m − row_begin)·K + k within its segment; its draw is word
/// e mod 4 of Philox counter e div 4, and it is kept when the draw, uniform in [0, 1), is at least p. What is kept counts 1 / (1 − p).
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernels/kernel_table.h"
#include "backend/ops.h"

namespace fedlora {

inline float kept_factor(const LoraPair& pair) { return pair.dropout > 0 ? 1.0f / (1.0f - pair.dropout) : 1.0f; }

/// keep[i] = 1 or 0 for elements index … index + count − 1. A draw has 24 bits, so that comparing it with p is comparing integers.
inline void draw_kept(const KernelTable& kernels, const LoraPair& pair, int64_t index, int64_t count, uint8_t* keep) {
  const uint32_t threshold = static_cast<uint32_t>(std::ceil(static_cast<double>(pair.dropout) * 0x1p24));
  kernels.draw_kept(pair.dropout_seed, pair.dropout_stream, static_cast<uint64_t>(index), count, threshold, keep);
}

/// out = x where kept, else 0; without branches, since no one can predict them.
inline void keep_elements(const bf16* x, const uint8_t* keep, int64_t count, bf16* out) {
  for (int64_t i = 0; i < count; ++i) out[i].bits = static_cast<uint16_t>(x[i].bits & -static_cast<int>(keep[i]));
}
inline void keep_elements(const float* x, const uint8_t* keep, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(x[i]) & -static_cast<uint32_t>(keep[i]));
}

}  // namespace fedlora
