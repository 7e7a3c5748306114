#include "tokenizer/split.h"

#include <algorithm>

#include "base/error.h"

namespace fedlora::tokenizer {

Behavior read_behavior(const Place& place) {
  const std::string& name = place.text();
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  place.refuse("the behaviour " + quoted(name) + " is not known: Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous are");
}

void append_words(std::vector<Part>& parts, Behavior behavior, uint32_t base, std::vector<Range>& out) {
  const auto push = [&](uint32_t begin, uint32_t end) {
    if (begin < end) out.push_back({base + begin, base + end});
  };
  if (behavior == Behavior::removed || behavior == Behavior::isolated) {
    for (const Part& part : parts)
      if (behavior == Behavior::isolated || !part.delimiter) push(part.begin, part.end);
    parts.clear();
    return;
  }
  // A delimiter joins its neighbour unless that ends in one itself; runs of one kind join when they are contiguous.
  const bool backwards = behavior == Behavior::merged_with_next;
  if (backwards) std::reverse(parts.begin(), parts.end());
  size_t kept = 0;
  bool previous = false;
  for (const Part part : parts) {
    const bool joins = behavior == Behavior::contiguous ? part.delimiter == previous : part.delimiter && !previous;
    previous = part.delimiter;
    if (!joins || kept == 0)
      parts[kept++] = part;
    else if (backwards)
      parts[kept - 1].begin = part.begin;
    else
      parts[kept - 1].end = part.end;
  }
  parts.resize(kept);
  if (backwards) std::reverse(parts.begin(), parts.end());
  for (const Part& part : parts) push(part.begin, part.end);
  parts.clear();
}

Pattern::Pattern(const Place& place) {
  if (place.has("String")) {
    literal_ = place.at("String").text();
    if (literal_.empty()) regex_ = std::make_unique<regex::Regex>("");
  } else if (place.has("Regex")) {
    const Place expression = place.at("Regex");
    try {
      regex_ = std::make_unique<regex::Regex>(expression.text());
    } catch (const Error& error) {
      expression.refuse(error.what());
    }
  } else {
    place.refuse("expected {\"String\": …} or {\"Regex\": …}");
  }
}

bool Pattern::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  if (regex_) return regex_->find(text, from, begin, end);
  begin = text.find(literal_, from);
  end = begin + literal_.size();
  return begin != std::string_view::npos;
}

}  // namespace fedlora::tokenizer
