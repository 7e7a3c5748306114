/// Characters in UTF-8. Texts are valid: whoever lets one in has checked it, or replaced what was not by U+FFFD.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fedlora::unicode {

inline bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

/// Bytes of the character that begins with `lead`.
inline size_t length_of(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// Bytes that `code` takes.
inline size_t length_of(char32_t code) { return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4; }

/// The character at `position`, which moves behind it. 0 ≤ position < text.size().
inline char32_t decode(std::string_view text, size_t& position) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data()) + position;
  const uint32_t lead = bytes[0];
  if (lead < 0x80) {
    position += 1;
    return lead;
  }
  if (lead < 0xE0) {
    position += 2;
    return (lead & 0x1F) << 6 | (bytes[1] & 0x3Fu);
  }
  if (lead < 0xF0) {
    position += 3;
    return (lead & 0x0F) << 12 | (bytes[1] & 0x3Fu) << 6 | (bytes[2] & 0x3Fu);
  }
  position += 4;
  return (lead & 0x07) << 18 | (bytes[1] & 0x3Fu) << 12 | (bytes[2] & 0x3Fu) << 6 | (bytes[3] & 0x3Fu);
}

/// The character that ends at `position`, which moves to its beginning. 0 < position ≤ text.size().
inline char32_t decode_before(std::string_view text, size_t& position) {
  do --position;
  while (position > 0 && is_continuation(text[position]));
  size_t at = position;
  return decode(text, at);
}

inline void append(std::string& out, char32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
    return;
  }
  char bytes[4];
  const size_t length = length_of(code);
  for (size_t i = length - 1; i > 0; --i, code >>= 6) bytes[i] = static_cast<char>(0x80 | (code & 0x3F));
  bytes[0] = static_cast<char>((0xF00u >> length & 0xFF) | code);
  out.append(bytes, length);
}

/// Whether every byte belongs to a well-formed character: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_valid(std::string_view text);

}  // namespace fedlora::unicode
