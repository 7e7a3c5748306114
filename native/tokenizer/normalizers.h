/// Normalizers: write a text in another form before it is cut, each byte with its place in the source.
#pragma once
#include <memory>

#include "io/json.h"
#include "tokenizer/text.h"

namespace fedlora::tokenizer {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(AlignedText& text) const = 0;
};

/// null → nullptr. E_TOKENIZER names what is wrong or not supported.
std::unique_ptr<Normalizer> make_normalizer(const Json& json);

}  // namespace fedlora::tokenizer
