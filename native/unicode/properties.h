/// Properties of characters, equal to those of Hugging Face `tokenizers`, whose parts follow different versions of Unicode: general
/// categories, scripts and properties as its regular expressions know them (Unicode 16), the sets below as the named parts do.
#pragma once
#include <optional>
#include <string_view>

#include "unicode/code_set.h"

namespace fedlora::unicode {

/// General categories, in the order of the table.
enum class General : uint8_t {
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Co,
  Cn
};

General category(char32_t code);
inline bool is_letter(char32_t code) { return category(code) <= General::Lo; }
inline bool is_mark(char32_t code) { return category(code) >= General::Mn && category(code) <= General::Me; }
inline bool is_number(char32_t code) { return category(code) >= General::Nd && category(code) <= General::No; }

/// White_Space (25 characters), as Rust's char::is_whitespace.
inline bool is_white_space(char32_t code) {
  return code < 0x80 ? code == ' ' || (code >= 9 && code <= 13)
                     : code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
                           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}
/// Nd, Nl and No as Rust's char::is_numeric: the Digits pre-tokenizer.
bool is_numeric(char32_t code);
/// \w of Rust's regular expressions: the Whitespace pre-tokenizer, single_word of added tokens.
bool is_word(char32_t code);
/// ASCII punctuation and P*: the Punctuation and BertPreTokenizer pre-tokenizers.
bool is_punctuation(char32_t code);
/// What BertNormalizer's clean_text removes: U+0000, U+FFFD and what is neither assigned nor to be seen, but \t, \n and \r.
bool is_bert_control(char32_t code);
/// What BertNormalizer's strip_accents removes.
bool is_nonspacing_mark(char32_t code);
/// What the StripAccents normalizer removes.
bool is_combining_mark(char32_t code);
/// The group of the UnicodeScripts pre-tokenizer: it splits between different groups; 0 goes with every neighbour.
uint8_t script_group(char32_t code);

/// The set that \p{name} names in a regular expression: general categories (L, Lu, Letter, Uppercase_Letter …), scripts (Han, Hani …),
/// POSIX brackets (Alpha, Punct …) and some binary properties (Emoji, Alphabetic …). Case, spaces, - and _ do not count.
std::optional<CodeSet> named_set(std::string_view name);

}  // namespace fedlora::unicode
