#include "regex/escape.h"

#include <string>

#include "unicode/properties.h"

namespace fedlora::regex {

using unicode::CodeSet;

namespace {
int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

/// At most `most` digits of `base`.
std::optional<char32_t> read_number(Reader& reader, int base, int most) {
  std::optional<char32_t> value;
  for (int count = 0; count < most && digit_of(reader.peek()) < base; ++count) {
    const uint64_t next = uint64_t{value.value_or(0)} * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit_of(reader.peek()));
    if (next > unicode::last_code) reader.refuse("a code point beyond U+10FFFF");
    value = static_cast<char32_t>(next);
    reader.take();
  }
  return value;
}

Escape character(char32_t code) { return {Escape::Kind::code, code, {}}; }
Escape of_set(CodeSet set) { return {Escape::Kind::set, 0, std::move(set)}; }

/// \x41, \x{41}, \u0041, \o{101}, \101.
Escape read_code(Reader& reader, size_t begin, char letter) {
  const bool braces = letter != 'u' && (letter == 'x' || letter == 'o') && reader.take("{");
  if (letter == 'o' && !braces) return character('o');
  const int base = letter == 'x' || letter == 'u' ? 16 : 8;
  const auto value = read_number(reader, base, braces ? 12 : letter == 'u' ? 4 : letter == 'x' ? 2 : 3);
  if (!value && letter == 'x' && !braces) return character(0);
  if (!value) reader.refuse_at(begin, "an escape without its number");
  if (braces && !reader.take("}")) reader.refuse_at(begin, "several code points in one escape, or an escape that is not closed");
  if (letter == 'u' && reader.position() - begin != 6) reader.refuse_at(begin, "\\u without four digits");
  if (!braces && letter != 'u' && *value >= 0x80) reader.refuse_at(begin, "a byte of a character beyond ASCII (write \\x{…})");
  if (*value >= 0xD800 && *value < 0xE000) reader.refuse_at(begin, "a surrogate");
  return character(*value);
}

Escape read_property(Reader& reader, size_t begin, bool negative, bool in_bracket) {
  std::string_view name = reader.take_until('}', "a property");
  if (name.starts_with('^')) {
    negative = !negative;
    name.remove_prefix(1);
  }
  CodeSet set = property(reader, begin, name);
  if (!in_bracket && set == property(reader, begin, "word")) set = word_characters();
  return of_set(negative ? set.inverted() : std::move(set));
}

Escape read_digits(Reader& reader, size_t begin, char first, bool in_bracket) {
  const bool octal = first == '0' || (digit_of(first) < 8 && (in_bracket || digit_of(reader.peek()) < 8));
  if (!octal) {
    if (in_bracket) return character(static_cast<char32_t>(first));
    reader.refuse_at(begin, "a back reference");
  }
  reader.go_back_to(reader.position() - 1);
  return read_code(reader, begin, '0');
}
}  // namespace

CodeSet word_characters() {
  CodeSet set = *unicode::named_set("word");
  for (const char32_t code : {0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE}) set.add(code, code);
  return set;
}

CodeSet property(const Reader& reader, size_t begin, std::string_view name) {
  auto set = unicode::named_set(name);
  if (!set) reader.refuse_at(begin, "the property \"" + std::string(name) + "\"");
  return std::move(*set);
}

Escape read_escape(Reader& reader, size_t begin, bool in_bracket) {
  const char32_t code = reader.take();
  if (code >= 0x80) return character(code);
  const char letter = static_cast<char>(code);
  switch (letter) {
    case 't':
      return character('\t');
    case 'n':
      return character('\n');
    case 'r':
      return character('\r');
    case 'v':
      return character('\v');
    case 'f':
      return character('\f');
    case 'a':
      return character('\a');
    case 'e':
      return character(0x1B);
    case 'd':
      return of_set(property(reader, begin, "digit"));
    case 'D':
      return of_set(property(reader, begin, "digit").inverted());
    case 'w':
      return of_set(in_bracket ? property(reader, begin, "word") : word_characters());
    case 'W':
      return of_set((in_bracket ? property(reader, begin, "word") : word_characters()).inverted());
    case 's':
      return of_set(property(reader, begin, "space"));
    case 'S':
      return of_set(property(reader, begin, "space").inverted());
    case 'h':
      return of_set(property(reader, begin, "xdigit"));
    case 'H':
      return of_set(property(reader, begin, "xdigit").inverted());
    case 'p':
    case 'P':
      return reader.take("{") ? read_property(reader, begin, letter == 'P', in_bracket) : character(code);
    case 'x':
    case 'u':
    case 'o':
      return read_code(reader, begin, letter);
    case 'c': {
      const char32_t control = reader.take();
      if (control >= 0x80 || control == '\\') reader.refuse_at(begin, "a control character of this kind");
      return character(control == '?' ? 0x7F : control & 0x1F);
    }
    case 'C':
    case 'M':
      if (reader.peek() == '-') reader.refuse_at(begin, "a control or meta character of this kind");
      return character(code);
    default:
      break;
  }
  if (letter >= '0' && letter <= '9') return read_digits(reader, begin, letter, in_bracket);
  if (in_bracket) return character(letter == 'b' ? '\b' : code);
  return {Escape::Kind::other, code, {}};
}

}  // namespace fedlora::regex
