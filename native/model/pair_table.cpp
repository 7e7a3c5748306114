#include "model/pair_table.h"

#include <algorithm>

namespace fedlora {

namespace {
bool wanted(const AdapterSegment& segment, const Range& tensor) {
  return segment.trainable.empty() ||
         std::any_of(segment.trainable.begin(), segment.trainable.end(), [&](const Range& range) { return range.meets(tensor); });
}

LoraPair pair_of(const AdapterSegment& segment, int64_t layer, int place, bool training) {
  const AdapterSlot& slot = segment.adapter->slot(layer, place);
  LoraPair pair;
  if (slot.rank == 0) return pair;
  const float* values = segment.adapter->values.data();
  pair.rank = slot.rank;
  pair.scaling = slot.scaling;
  pair.A = values + slot.A;
  pair.B = values + slot.B;
  if (training && segment.gradient != nullptr) {
    if (wanted(segment, {slot.A, slot.B})) pair.d_A = segment.gradient + slot.A;
    if (wanted(segment, {slot.B, slot.end})) pair.d_B = segment.gradient + slot.B;
  }
  if (const Residual* residual = segment.adapter->residual().get()) {
    const ResidualMap::Slot& frozen = residual->slot(layer, place);
    if (frozen.rank > 0) pair.frozen = {frozen.rank, residual->A(frozen), residual->B(frozen)};
  }
  if (segment.dropout) {
    pair.dropout = slot.dropout;
    pair.dropout_seed = segment.dropout_seed;
    pair.dropout_stream = segment.micro_batch << 20 | static_cast<uint64_t>(layer * linears_per_layer + place);
  }
  return pair;
}
}  // namespace

PairTable::PairTable(std::span<const AdapterSegment> segments, const Description& description, bool training)
    : segments_(segments.size()), lowest_trained_(static_cast<int64_t>(description.layers.size())) {
  const int64_t layers = lowest_trained_;
  pairs_.reserve(segments.size() * static_cast<size_t>(layers * linears_per_layer));
  for (const AdapterSegment& segment : segments)
    for (int64_t l = 0; l < layers; ++l)
      for (int place = 0; place < linears_per_layer; ++place) {
        const LoraPair pair = pair_of(segment, l, place, training);
        if (pair.d_A != nullptr || pair.d_B != nullptr) lowest_trained_ = std::min(lowest_trained_, l);
        pairs_.push_back(pair);
      }
  const std::span<const LoraPair> pairs = pairs_;
  for (int64_t l = 0; l < layers; ++l)
    for (const LinearGroup& group : linear_groups)
      for (size_t s = 0; s < segments.size(); ++s) {
        const size_t first = (s * static_cast<size_t>(layers) + static_cast<size_t>(l)) * linears_per_layer;
        const size_t count = description.layers[static_cast<size_t>(l)].group(group).size();
        calls_.push_back({segments[s].row_begin, segments[s].row_end, pairs.subspan(first + static_cast<size_t>(group.first), count)});
      }
}

std::vector<int> largest_ranks(std::span<const AdapterSegment> segments, int64_t layers) {
  std::vector<int> ranks(static_cast<size_t>(layers * linears_per_layer), 0);
  for (const AdapterSegment& segment : segments)
    for (size_t i = 0; i < ranks.size(); ++i) {
      const int64_t place = static_cast<int64_t>(i);
      ranks[i] = std::max(ranks[i], segment.adapter->slot(place / linears_per_layer, static_cast<int>(place % linears_per_layer)).rank);
    }
  return ranks;
}

int64_t most_frozen_ranks(const ResidualMap& residual, const Description& description) {
  int64_t most = 0;
  for (int64_t l = 0; l < static_cast<int64_t>(description.layers.size()); ++l)
    for (const LinearGroup& group : linear_groups) {
      int64_t ranks = 0;
      for (int place = group.first; place < group.first + group.most; ++place) ranks += residual.slot(l, place).rank;
      most = std::max(most, ranks);
    }
  return most;
}

}  // namespace fedlora
