#include "tokenizer/offsets.h"

#include <algorithm>

#include "unicode/utf8.h"

namespace fedlora::tokenizer {

Utf16Offsets::Utf16Offsets(std::string_view text) : size_(static_cast<uint32_t>(text.size())), end_(size_) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return;
  units_.resize(text.size());
  uint32_t unit = 0;
  for (size_t at = 0, next = 0; at < text.size(); at = next) {
    const char32_t point = unicode::decode(text, next);
    std::fill(units_.begin() + static_cast<ptrdiff_t>(at), units_.begin() + static_cast<ptrdiff_t>(next), unit);
    unit += point > 0xFFFF ? 2 : 1;
  }
  end_ = unit;
}

}  // namespace fedlora::tokenizer
