#include "unicode/case.h"

#include <algorithm>
#include <iterator>

namespace fedlora::unicode {

namespace {
#include "unicode/tables/case.inc"
}  // namespace

Lowered to_lower(char32_t code) {
  if (code < 0x80) return {code >= 'A' && code <= 'Z' ? code + 32 : code};
  for (const auto& entry : lower_pairs) {
    if (entry[0] == code) return {entry[1], entry[2]};
  }
  const auto* after = std::upper_bound(std::begin(lower_runs), std::end(lower_runs), code,
                                       [](char32_t value, const LowerRun& run) { return value < run.first; });
  if (after == std::begin(lower_runs)) return {code};
  const LowerRun& run = *std::prev(after);
  if (code > run.last || (code - run.first) % run.step != 0) return {code};
  return {static_cast<char32_t>(static_cast<int32_t>(code) + run.distance)};
}

const std::vector<std::u32string>& case_groups() {
  static const std::vector<std::u32string> all = [] {
    std::vector<std::u32string> out;
    for (const uint32_t* begin = group_codes; begin != std::end(group_codes);) {
      const uint32_t* end = std::find(begin, std::end(group_codes), 0u);
      out.emplace_back(begin, end);
      begin = end + 1;
    }
    return out;
  }();
  return all;
}

const std::vector<CaseString>& case_strings() {
  static const std::vector<CaseString> all = [] {
    std::vector<CaseString> out;
    for (const auto& entry : string_codes) {
      CaseString string{entry[0], {}};
      for (size_t i = 1; i < 4 && entry[i] != 0; ++i) string.folded.push_back(entry[i]);
      out.push_back(std::move(string));
    }
    return out;
  }();
  return all;
}

}  // namespace fedlora::unicode
