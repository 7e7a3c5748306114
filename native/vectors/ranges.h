/// Parts of a long vector, and the loop over them: tiles of a fixed size, shared out to threads. What a tile gives depends on its own
/// elements only, so neither threads nor the cut into ranges change a bit.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/range.h"
#include "base/thread_pool.h"

namespace fedlora {

/// Elements of a tile: its sums in double lie in the first-level cache.
inline constexpr int64_t vector_tile = 2048;

/// Throws E_ARGUMENT unless the ranges lie within [0, length), ascend and do not overlap.
void check_ranges(std::span<const Range> ranges, int64_t length);

/// `work(tile)` for tiles that cover the ranges; each lies within one multiple of vector_tile. A thread takes `task_tiles` at a time. Work
/// must not throw.
template <class Work>
void for_each_tile(std::span<const Range> ranges, ThreadPool* pool, const Work& work, int64_t task_tiles = 16) {
  std::vector<Range> tiles;
  for (const Range& range : ranges)
    for (int64_t begin = range.begin; begin < range.end;) {
      const int64_t end = std::min(range.end, (begin / vector_tile + 1) * vector_tile);
      tiles.push_back({begin, end});
      begin = end;
    }
  const int64_t count = static_cast<int64_t>(tiles.size());
  run_tasks(pool, (count + task_tiles - 1) / task_tiles, [&](int64_t task, int) {
    for (int64_t i = task * task_tiles; i < std::min((task + 1) * task_tiles, count); ++i) work(tiles[static_cast<size_t>(i)]);
  });
}

}  // namespace fedlora
