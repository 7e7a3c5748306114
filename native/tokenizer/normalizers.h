/// Normalizers of tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Nmt, Prepend, Replace, BertNormalizer, ByteLevel,
/// Precompiled and sequences of them.
#pragma once
#include <memory>

#include "io/json.h"
#include "tokenizer/text.h"

namespace fedlora::tokenizer {

/// Constant after construction: threads may share one.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(AlignedText& text) const = 0;
};

/// The normalizer that `json` describes, nothing for null. E_TOKENIZER, naming it, when it is of an unknown type or lacks what it needs.
std::unique_ptr<Normalizer> make_normalizer(const Json& json);

}  // namespace fedlora::tokenizer
