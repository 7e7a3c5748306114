/// Decoders: turn the texts of tokens back into text, step by step.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/place.h"

namespace fedlora::tokenizer {

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Changes the texts; joined, they are the text. Always valid UTF-8.
  virtual void apply(std::vector<std::string>& texts) const = 0;
};

/// null → nullptr: texts are joined with spaces. E_TOKENIZER names what is wrong or not supported.
std::unique_ptr<Decoder> make_decoder(const Place& place);

/// Bytes as text; each longest broken beginning of a character becomes one U+FFFD.
std::string utf8_lossy(std::string_view bytes);

}  // namespace fedlora::tokenizer
