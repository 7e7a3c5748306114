/// Post-processors: put special tokens around a text's tokens, and take white space out of their offsets. Single texts only.
#pragma once
#include <cstdint>
#include <vector>

#include "tokenizer/place.h"

namespace fedlora::tokenizer {

struct PostProcessing {
  /// Takes the white space at both ends of a token out of its offsets; `keep_prefix`: one leading space of the first token stays, it
  /// is the one that the pre-tokenizer added.
  struct Trim {
    bool keep_prefix;
    bool operator==(const Trim&) const = default;
  };
  std::vector<Trim> trims;
  /// Special tokens before the text and behind it.
  std::vector<uint32_t> prefix, suffix;
};

/// null → nothing is done. E_TOKENIZER names what is wrong or not supported.
PostProcessing make_post_processing(const Place& place);

}  // namespace fedlora::tokenizer
