/// Lower case, and which characters are equal but for case in regular expressions.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fedlora::unicode {

/// The full lower case of a character, without context (Rust's char::to_lowercase): one character, or two for İ.
struct Lowered {
  char32_t first;
  char32_t second = 0;  // 0: there is none
};
Lowered to_lower(char32_t code);

/// Characters that are equal but for case, each group in order; a character is in one group at most.
const std::vector<std::u32string>& case_groups();

/// A character that a string of several equals but for case: ß and ss. The string is folded.
struct CaseString {
  char32_t code;
  std::u32string folded;
};
const std::vector<CaseString>& case_strings();

}  // namespace fedlora::unicode
