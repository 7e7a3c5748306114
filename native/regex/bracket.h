/// Character classes: [a-z], [^\s\p{L}], [[:alpha:]], [a[bc]], [\w&&[^\d]].
#pragma once
#include "regex/reader.h"
#include "unicode/code_set.h"

namespace fedlora::regex {

/// Reads a class whose `[` at `begin` was taken already. `fold`: characters match in either case.
unicode::CodeSet read_bracket(Reader& reader, size_t begin, bool fold, int depth);

/// `set` with every character that equals one of its characters but for case.
unicode::CodeSet folded(const unicode::CodeSet& set);

}  // namespace fedlora::regex
