/// Dropout of an adapter's input. Element (m, k) of the layer's x has index e = (m − row_begin)·K + k within its segment; its draw is word
/// e mod 4 of Philox counter e div 4, and it is kept when the draw, uniform in [0, 1), is at least p. What is kept counts 1 / (1 − p).
#pragma once
#include <cstdint>

#include "backend/ops.h"
#include "base/philox.h"

namespace fedlora {

inline float kept_factor(const LoraPair& pair) { return pair.dropout > 0 ? 1.0f / (1.0f - pair.dropout) : 1.0f; }

/// keep[i] = 1 or 0 for elements index … index + count − 1.
inline void draw_kept(const LoraPair& pair, int64_t index, int64_t count, uint8_t* keep) {
  const Philox philox{pair.dropout_seed, pair.dropout_stream};
  for (int64_t i = 0; i < count;) {
    const auto words = philox(static_cast<uint64_t>(index + i) / 4);
    for (int64_t word = (index + i) % 4; word < 4 && i < count; ++word, ++i)
      keep[i] = uniform_f32(words[static_cast<size_t>(word)]) >= pair.dropout;
  }
}

}  // namespace fedlora
