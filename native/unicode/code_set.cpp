#include "unicode/code_set.h"

#include <algorithm>
#include <map>

namespace fedlora::unicode {

CodeSet CodeSet::from_pairs(const uint32_t* pairs, size_t count) {
  CodeSet out;
  out.ranges_.reserve(count / 2);
  for (size_t i = 0; i + 1 < count; i += 2) out.ranges_.push_back({pairs[i], pairs[i + 1]});
  return out;
}

bool CodeSet::contains(char32_t code) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), code, [](char32_t value, const Range& r) { return value < r.first; });
  return after != ranges_.begin() && code <= std::prev(after)->last;
}

void CodeSet::add(char32_t first, char32_t last) {
  // The ranges that overlap or touch [first, last] become one with it.
  auto begin = std::lower_bound(ranges_.begin(), ranges_.end(), first, [](const Range& r, char32_t value) { return r.last + 1 < value; });
  auto end = begin;
  for (; end != ranges_.end() && end->first <= last + 1; ++end) {
    first = std::min(first, end->first);
    last = std::max(last, end->last);
  }
  if (begin == end) {
    ranges_.insert(begin, {first, last});
  } else {
    *begin = {first, last};
    ranges_.erase(begin + 1, end);
  }
}

void CodeSet::add(const CodeSet& other) {
  std::vector<Range> all;
  all.reserve(ranges_.size() + other.ranges_.size());
  std::merge(ranges_.begin(), ranges_.end(), other.ranges_.begin(), other.ranges_.end(), std::back_inserter(all),
             [](const Range& a, const Range& b) { return a.first < b.first; });
  ranges_.clear();
  for (const Range& range : all) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

CodeSet CodeSet::inverted() const {
  CodeSet out;
  char32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) out.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= last_code) out.ranges_.push_back({next, last_code});
  return out;
}

CodeSet CodeSet::intersected(const CodeSet& other) const {
  CodeSet out;
  for (auto a = ranges_.begin(), b = other.ranges_.begin(); a != ranges_.end() && b != other.ranges_.end();) {
    const char32_t first = std::max(a->first, b->first), last = std::min(a->last, b->last);
    if (first <= last) out.ranges_.push_back({first, last});
    if (a->last < b->last) {
      ++a;
    } else {
      ++b;
    }
  }
  return out;
}

CodeTable::CodeTable(const CodeSet& set) {
  std::map<std::array<uint32_t, 8>, uint16_t> known;
  auto range = set.ranges().begin();
  for (size_t block = 0; block < block_of_.size(); ++block) {
    const char32_t begin = static_cast<char32_t>(block << 8), end = begin + 0xFF;
    std::array<uint32_t, 8> bits{};
    while (range != set.ranges().end() && range->last < begin) ++range;
    for (auto at = range; at != set.ranges().end() && at->first <= end; ++at) {
      const char32_t last = std::min(at->last, end);
      for (char32_t code = std::max(at->first, begin); code <= last; ++code) bits[code >> 5 & 7] |= 1u << (code & 31);
    }
    const auto [entry, added] = known.emplace(bits, static_cast<uint16_t>(bits_.size() / 8));
    if (added) bits_.insert(bits_.end(), bits.begin(), bits.end());
    block_of_[block] = entry->second;
  }
}

}  // namespace fedlora::unicode
