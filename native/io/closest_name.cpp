#include "io/closest_name.h"

#include <algorithm>
#include <numeric>

namespace fedlora {

namespace {

/// Levenshtein distance, one row of the table at a time; stops when it cannot stay below `limit`.
size_t distance(const std::string& a, const std::string& b, size_t limit) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0], smallest = i;
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
      smallest = std::min(smallest, row[j]);
    }
    if (smallest >= limit) return limit;
  }
  return row[b.size()];
}

}  // namespace

std::string closest_name(const std::string& wanted, const std::vector<std::string>& candidates) {
  std::string best;
  size_t least = static_cast<size_t>(-1);
  for (const std::string& candidate : candidates) {
    const size_t edits = distance(wanted, candidate, least);
    if (edits < least) least = edits, best = candidate;
  }
  return best;
}

}  // namespace fedlora
