/// One micro-batch: rows of tokens of any lengths, concatenated without padding, and the positions that are supervised.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "model/description.h"

namespace fedlora {

inline constexpr int32_t not_supervised = -100;

struct Batch {
  std::vector<int32_t> ids;         // [M]
  std::vector<int32_t> positions;   // [M] place within the row
  std::vector<int64_t> offsets;     // [rows + 1]
  std::vector<int32_t> supervised;  // row indices m whose next token is a target, ascending
  std::vector<int32_t> targets;     // their targets
  std::vector<float> weights;       // of their losses: those of their rows; empty: 1 each
  int64_t longest = 0;

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  /// Of supervised position i.
  float weight(size_t i) const { return weights.empty() ? 1.0f : weights[i]; }
  /// Σ of them: what a mean loss is divided by.
  double weight() const;
  int64_t rows() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

/// Checks and lays out a micro-batch. `labels` (empty: none) belong to the tokens as in Hugging Face and are shifted here:
/// row position i predicts labels[i + 1]. E_ARGUMENT for ids or labels outside the vocabulary, empty rows, lengths that do not
/// sum to the number of ids, or rows longer than the model's positions. `weights` (empty: 1 each) multiply the losses of the rows; nothing
/// of a row of weight 0 is supervised. E_ARGUMENT for one that is negative or no finite float32.
Batch make_batch(const Description& description, std::span<const int32_t> ids, std::span<const int32_t> labels,
                 std::span<const int32_t> lengths, std::span<const double> weights = {});

/// Batches end to end; `parts` hold no null.
Batch concatenate(std::span<const Batch* const> parts);

}  // namespace fedlora
