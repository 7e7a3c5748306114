/// Parts of a flat vector.
#pragma once
#include <cstdint>

namespace fedlora {

/// Elements [begin, end).
struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool meets(const Range& other) const { return begin < other.end && other.begin < end; }
};

}  // namespace fedlora
