#include "unicode/utf8.h"

namespace fedlora::unicode {

bool is_valid(std::string_view text) {
  for (size_t position = 0; position < text.size();) {
    const auto lead = static_cast<uint8_t>(text[position]);
    if (lead < 0x80) {
      ++position;
      continue;
    }
    if (lead < 0xC2 || lead > 0xF4) return false;
    const size_t length = length_of(text[position]);
    if (position + length > text.size()) return false;
    for (size_t i = 1; i < length; ++i) {
      if (!is_continuation(text[position + i])) return false;
    }
    const char32_t code = decode(text, position);
    if (length_of(code) != length || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return false;
  }
  return true;
}

}  // namespace fedlora::unicode
