/// Bytes of a text → UTF-16 code units of the same text, as JavaScript counts.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace fedlora::tokenizer {

class Utf16Offsets {
 public:
  explicit Utf16Offsets(std::string_view text);
  /// The unit where the byte's character begins; the number of units for bytes behind the text.
  uint32_t operator()(uint32_t byte) const { return byte < units_.size() ? units_[byte] : byte < size_ ? byte : end_; }

 private:
  std::vector<uint32_t> units_;  // by byte; empty for ASCII, where both count the same
  uint32_t size_, end_;
};

}  // namespace fedlora::tokenizer
