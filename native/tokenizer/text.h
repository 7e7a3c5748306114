/// Text on its way through a tokenizer: UTF-8 beside the place in the source that each byte of it came from.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fedlora::tokenizer {

/// Bytes [begin, end) of the source text.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool operator==(const Span&) const = default;
};

/// `text` beside its origin. Every byte of one character has the span of the whole character (or characters) that it was made from; what
/// was inserted has the span of the character beside it, or an empty one.
struct AlignedText {
  std::string text;
  /// As long as `text`; empty while `text` still equals the source from `start` on.
  std::vector<Span> origin;
  /// Source byte of `text[0]` while `origin` is empty. A section of a longer source begins beyond 0.
  uint32_t start = 0;

  bool is_source() const { return origin.empty(); }

  /// Writes the origin out, for whoever changes the text: each byte gets the span of its character.
  void write_origin() {
    if (!origin.empty()) return;
    origin.resize(text.size());
    for (uint32_t at = 0; at < text.size();) {
      uint32_t end = at + 1;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      for (const Span whole{start + at, start + end}; at < end; ++at) origin[at] = whole;
    }
  }
};

}  // namespace fedlora::tokenizer
