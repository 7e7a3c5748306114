#include "unicode/graphemes.h"

#include <cstdint>
#include <iterator>

#include "unicode/code_set.h"
#include "unicode/properties.h"
#include "unicode/utf8.h"

namespace fedlora::unicode {

namespace {
#include "unicode/tables/graphemes.inc"

enum class Kind : uint8_t { other, extending, prepended, breaking, pictograph, lead, vowel, tail, syllable, syllable_tail };

constexpr char32_t joiner = 0x200D;

/// Jamo and syllables of Hangul: L, V, T, LV and LVT.
Kind hangul(char32_t code) {
  if ((code >= 0x1100 && code <= 0x115F) || (code >= 0xA960 && code <= 0xA97C)) return Kind::lead;
  if ((code >= 0x1160 && code <= 0x11A7) || (code >= 0xD7B0 && code <= 0xD7C6)) return Kind::vowel;
  if ((code >= 0x11A8 && code <= 0x11FF) || (code >= 0xD7CB && code <= 0xD7FB)) return Kind::tail;
  if (code >= 0xAC00 && code <= 0xD7A3) return (code - 0xAC00) % 28 == 0 ? Kind::syllable : Kind::syllable_tail;
  return Kind::other;
}

Kind kind_of(char32_t code) {
  static const CodeTable extending{CodeSet::from_pairs(extending_codes, std::size(extending_codes))};
  static const CodeTable prepended{CodeSet::from_pairs(prepended_codes, std::size(prepended_codes))};
  static const CodeTable breaking{CodeSet::from_pairs(breaking_codes, std::size(breaking_codes))};
  static const CodeTable pictographs{*named_set("Extended_Pictographic")};
  if (code < 0x80) return code < 0x20 || code == 0x7F ? Kind::breaking : Kind::other;
  if (extending.contains(code)) return Kind::extending;
  if (breaking.contains(code)) return Kind::breaking;
  if (prepended.contains(code)) return Kind::prepended;
  if (pictographs.contains(code)) return Kind::pictograph;
  return hangul(code);
}

bool joins(Kind before, Kind next) {
  if (before == Kind::breaking || next == Kind::breaking) return false;
  if (next == Kind::extending || before == Kind::prepended) return true;
  switch (before) {
    case Kind::lead:
      return next == Kind::lead || next == Kind::vowel || next == Kind::syllable || next == Kind::syllable_tail;
    case Kind::syllable:
    case Kind::vowel:
      return next == Kind::vowel || next == Kind::tail;
    case Kind::syllable_tail:
    case Kind::tail:
      return next == Kind::tail;
    default:
      return false;
  }
}
}  // namespace

size_t cluster_end(std::string_view text, size_t begin) {
  size_t end = begin;
  char32_t code = decode(text, end);
  if (code == '\r' && end < text.size() && text[end] == '\n') return end + 1;
  Kind kind = kind_of(code);
  bool pictograph = kind == Kind::pictograph;  // a pictograph and what extends it is all since
  while (end < text.size()) {
    size_t after = end;
    const char32_t next_code = decode(text, after);
    const Kind next = kind_of(next_code);
    const bool sequence = pictograph && code == joiner && next == Kind::pictograph;
    if (!joins(kind, next) && !sequence) break;
    pictograph = next == Kind::pictograph || (pictograph && next == Kind::extending);
    code = next_code;
    kind = next;
    end = after;
  }
  return end;
}

}  // namespace fedlora::unicode
