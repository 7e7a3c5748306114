/// Pre-tokenizers: cut a text into words before the model sees it; some write other characters for some on the way.
#pragma once
#include <memory>

#include "tokenizer/place.h"
#include "tokenizer/text.h"

namespace fedlora::tokenizer {

/// Bytes [begin, end) of `Pieces::text`.
struct Range {
  uint32_t begin, end;
};

/// A text and the words in it that are to be encoded, in order, none of them empty. Words of a text are not lost when they do not cover it.
struct Pieces {
  AlignedText text;
  std::vector<Range> ranges;
  /// The words are meant in the byte-level alphabet: each byte stands for its character. `write_bytes` writes them out.
  bool as_bytes = false;
  /// The source goes on from another text: what begins the source takes no dummy prefix.
  bool continues = false;

  std::string_view view(Range range) const { return std::string_view(text.text).substr(range.begin, range.end - range.begin); }
  /// The source byte where a word begins.
  uint32_t source_of(Range range) const { return text.is_source() ? text.start + range.begin : text.origin[range.begin].begin; }
  void write_bytes();
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// `pieces.as_bytes` is false.
  virtual void apply(Pieces& pieces) const = 0;
  /// Whether words end at white space (in any of its forms), so that they are short in most texts.
  virtual bool ends_at_spaces() const { return true; }
};

/// null → nullptr. E_TOKENIZER names what is wrong or not supported.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Place& place);

}  // namespace fedlora::tokenizer
