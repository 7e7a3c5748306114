#include "regex/first.h"

#include <algorithm>
#include <string>

#include "unicode/utf8.h"

namespace fedlora::regex {

void First::add(const First& other) {
  set.add(other.set);
  empty |= other.empty;
  guarded |= other.guarded;
}

First First::then(const First& next) const {
  First out = *this;
  if (!empty) return out;
  out.empty = false;
  out.add(next);
  return out;
}

std::array<bool, 257> First::bytes() const {
  std::array<bool, 257> out{};
  if (empty || guarded) {
    out.fill(true);
    return out;
  }
  for (const CodeSet::Range& range : set.ranges()) {
    for (char32_t code = range.first; code <= std::min<char32_t>(range.last, 0x7F); ++code) out[code] = true;
    if (range.last < 0x80) continue;
    std::string first, last;
    unicode::append(first, std::max<char32_t>(range.first, 0x80));
    unicode::append(last, range.last);
    for (int byte = static_cast<uint8_t>(first[0]); byte <= static_cast<uint8_t>(last[0]); ++byte) out[static_cast<size_t>(byte)] = true;
  }
  return out;
}

First first_of(const Node& node) {
  First out;
  switch (node.kind) {
    case Node::Kind::set:
      out.set = node.set;
      break;
    case Node::Kind::sequence:
      out.empty = true;
      for (const NodePointer& child : node.children) {
        if (!out.empty) break;
        out = out.then(first_of(*child));
      }
      break;
    case Node::Kind::alternation:
      for (const NodePointer& child : node.children) out.add(first_of(*child));
      break;
    case Node::Kind::atomic:
      out = first_of(*node.children[0]);
      break;
    case Node::Kind::repeat:
      if (node.maximum > 0) out = first_of(*node.children[0]);
      if (node.minimum == 0) out.empty = true;
      break;
    case Node::Kind::look:
    case Node::Kind::anchor:
      out.empty = out.guarded = true;
      break;
  }
  return out;
}

Width width_of(const Node& node) {
  const auto limit = [](uint64_t value) { return std::min<uint64_t>(value, unlimited); };
  Width out{0, 0};
  switch (node.kind) {
    case Node::Kind::set:
      return {1, 1};
    case Node::Kind::sequence:
      for (const NodePointer& child : node.children) {
        const Width width = width_of(*child);
        out = {limit(out.least + width.least), limit(out.greatest + width.greatest)};
      }
      return out;
    case Node::Kind::alternation:
      out.least = unlimited;
      for (const NodePointer& child : node.children) {
        const Width width = width_of(*child);
        out = {std::min(out.least, width.least), std::max(out.greatest, width.greatest)};
      }
      return out;
    case Node::Kind::atomic:
      return width_of(*node.children[0]);
    case Node::Kind::repeat: {
      const Width width = width_of(*node.children[0]);
      return {limit(width.least * node.minimum), width.greatest == 0 ? 0 : limit(width.greatest * node.maximum)};
    }
    case Node::Kind::look:
    case Node::Kind::anchor:
      return out;
  }
  return out;
}

}  // namespace fedlora::regex
