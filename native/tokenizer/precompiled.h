/// SentencePiece's compiled normalization: rules that replace strings, as a double array over their bytes (Yata et al. 2007, the layout of
/// darts-clone) and the texts that replace them. Kudo and Richardson 2018.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/normalizers.h"

namespace fedlora::tokenizer {

class Precompiled : public Normalizer {
 public:
  /// `charsmap`: base64 of [bytes of the array: uint32][the array: uint32 …][texts, each ended by 0]. E_TOKENIZER when it is none.
  explicit Precompiled(const std::string& charsmap);

  void apply(AlignedText& text) const override;

 private:
  /// What replaces `part`: the text of the shortest rule that it begins with, as the reference has it.
  std::optional<std::string_view> replacement(std::string_view part) const;

  std::vector<uint32_t> units_;
  std::string texts_;
};

}  // namespace fedlora::tokenizer
