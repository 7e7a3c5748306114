/// What a backslash begins, inside a bracket and outside.
#pragma once
#include <optional>

#include "regex/reader.h"
#include "unicode/code_set.h"

namespace fedlora::regex {

struct Escape {
  enum class Kind { code, set, other };
  Kind kind;
  char32_t code = 0;     // code: a character; other: the letter behind the backslash
  unicode::CodeSet set;  // set: \w, \p{Han} …
};

/// Reads what follows a backslash at `begin` that was taken already.
Escape read_escape(Reader& reader, size_t begin, bool in_bracket);

/// \w outside of brackets, and what \b goes by: [[:word:]] and ², ³, ¹, ¼, ½ and ¾, which Oniguruma takes from a table of Latin-1.
unicode::CodeSet word_characters();

/// The set of [:name:] or \p{name}, E_TOKENIZER when nothing is named so.
unicode::CodeSet property(const Reader& reader, size_t begin, std::string_view name);

}  // namespace fedlora::regex
