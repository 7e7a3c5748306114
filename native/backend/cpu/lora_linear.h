/// What the forward and backward of lora_linear share: how rows are cut into tasks.
#pragma once
#include <algorithm>
#include <vector>

#include "backend/ops.h"

namespace fedlora {

/// Rows [begin, end) of segment `segment`; begin − row_begin is even, so that pairs of rows stay together.
struct RowTask {
  int64_t segment, begin, end;
};

inline bool has_adapter(const Segment& segment) {
  return segment.row_begin < segment.row_end &&
         std::any_of(segment.pairs.begin(), segment.pairs.end(), [](const LoraPair& pair) { return pair.rank > 0; });
}

/// The rows with adapters, in pieces of about M / threads.
inline std::vector<RowTask> split_adapter_rows(int64_t M, std::span<const Segment> segments, int64_t threads) {
  const int64_t piece = std::max<int64_t>(32, (M + threads - 1) / threads + 1) / 2 * 2;
  std::vector<RowTask> tasks;
  for (size_t s = 0; s < segments.size(); ++s) {
    if (!has_adapter(segments[s])) continue;
    for (int64_t begin = segments[s].row_begin; begin < segments[s].row_end; begin += piece)
      tasks.push_back({static_cast<int64_t>(s), begin, std::min(begin + piece, segments[s].row_end)});
  }
  return tasks;
}

/// Disjoint ranges that cover [0, M): the segments with adapters, by index, and the gaps between them (segment −1).
inline std::vector<RowTask> cover_rows(int64_t M, std::span<const Segment> segments) {
  std::vector<RowTask> ranges;
  for (size_t s = 0; s < segments.size(); ++s)
    if (has_adapter(segments[s])) ranges.push_back({static_cast<int64_t>(s), segments[s].row_begin, segments[s].row_end});
  std::sort(ranges.begin(), ranges.end(), [](const RowTask& a, const RowTask& b) { return a.begin < b.begin; });
  int64_t row = 0;
  const size_t named = ranges.size();
  for (size_t i = 0; i < named; ++i) {
    if (row < ranges[i].begin) ranges.push_back({-1, row, ranges[i].begin});
    row = ranges[i].end;
  }
  if (row < M) ranges.push_back({-1, row, M});
  return ranges;
}

}  // namespace fedlora
