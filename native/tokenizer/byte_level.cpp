#include "tokenizer/byte_level.h"

#include "unicode/properties.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {

struct Alphabet {
  std::array<uint16_t, 256> characters;
  std::array<int16_t, 512> bytes;
  Alphabet() {
    bytes.fill(-1);
    uint16_t other = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      characters[byte] = printable ? static_cast<uint16_t>(byte) : other++;
      bytes[characters[byte]] = static_cast<int16_t>(byte);
    }
  }
};
const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

enum Class : uint8_t { letter, number, space, other };

Class class_of(char32_t point) {
  if (unicode::is_white_space(point)) return space;
  return unicode::is_letter(point) ? letter : unicode::is_number(point) ? number : other;
}

/// The classes of ASCII, which most of a text is.
struct AsciiClasses {
  std::array<Class, 128> of;
  AsciiClasses() {
    for (unsigned point = 0; point < 128; ++point) of[point] = class_of(point);
  }
};

Class class_at(std::string_view text, size_t& at) {
  static const AsciiClasses ascii;
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 128) return ++at, ascii.of[lead];
  return class_of(unicode::decode(text, at));
}

/// The end of the run of characters of one class from `at` on.
size_t run_end(std::string_view text, size_t at, Class of) {
  for (size_t next = at; at < text.size(); at = next)
    if (class_at(text, next) != of) break;
  return at;
}

}  // namespace

const std::array<uint16_t, 256>& byte_alphabet() { return alphabet().characters; }

int byte_of_character(char32_t point) { return point < 512 ? alphabet().bytes[point] : -1; }

void append_byte_level(std::string& out, std::string_view bytes) {
  const std::array<uint16_t, 256>& characters = byte_alphabet();
  for (const char byte : bytes) unicode::append(out, characters[static_cast<unsigned char>(byte)]);
}

size_t word_end(std::string_view text, size_t begin) {
  if (text[begin] == '\'') {
    for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
      if (text.substr(begin).starts_with(ending)) return begin + ending.size();
  }
  size_t at = begin;
  Class of = class_at(text, at);
  if (text[begin] == ' ' && at < text.size()) {  // one space goes with the word behind it
    size_t next = at;
    const Class behind = class_at(text, next);
    if (behind != space) at = next, of = behind;
  }
  if (of != space) return run_end(text, at, of);
  // White space: all of it at the end of the text; else the last one is left to the next word, if others stay.
  size_t last = begin, end = at;
  for (size_t next = end; end < text.size(); last = end, end = next)
    if (class_at(text, next) != space) break;
  return end < text.size() && last > begin ? last : end;
}

}  // namespace fedlora::tokenizer
