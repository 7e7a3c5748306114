/// What a part of a regular expression may begin with: what decides choices without trying, and which loops need no way back.
#pragma once
#include <array>
#include <cstdint>

#include "regex/syntax.h"

namespace fedlora::regex {

struct First {
  CodeSet set;           // characters that it may consume first
  bool empty = false;    // it may match nothing, and then never fails
  bool guarded = false;  // a look-around or an anchor may stand before its first character: it may fail anywhere, begin with anything

  /// Adds what another alternative begins with.
  void add(const First& other);
  /// This part with `next` behind it.
  First then(const First& next) const;
  /// Whether it may match where `byte` comes next (256: the end).
  bool may_begin(int byte) const;
  /// The bytes that it may begin with, 256 for the end.
  std::array<bool, 257> bytes() const;
};

/// Of `node` alone.
First first_of(const Node& node);

/// The least and the greatest number of characters that `node` consumes; `unlimited` when there is no greatest.
struct Width {
  uint64_t least, greatest;
};
Width width_of(const Node& node);

}  // namespace fedlora::regex
