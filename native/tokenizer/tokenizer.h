/// Text → ids and back, as a tokenizer.json describes it: added tokens, normaliser, pre-tokenizer, model, post-processor, decoder.
/// Ids, offsets and decoded texts equal those of Hugging Face `tokenizers` 0.23. Constant once made: threads share it, each with its
/// `Work`.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/decoders.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizers.h"
#include "tokenizer/post_processors.h"
#include "tokenizer/pre_tokenizers.h"
#include "tokenizer/text.h"

namespace fedlora::tokenizer {

struct EncodeOptions {
  /// Puts the post-processor's special tokens around the text.
  bool special_tokens = true;
  /// Fills `Encoding::spans`.
  bool spans = false;
  /// The text goes on from another: what begins it takes no dummy prefix.
  bool continues = false;
};

struct Encoding {
  std::vector<uint32_t> ids;
  /// By id, bytes of the text; empty ones at 0 for special tokens around it.
  std::vector<Span> spans;
};

class Tokenizer {
 public:
  /// `json`: the text of a tokenizer.json. `changes`: JSON of what a folder's other files say about it, as read.cpp describes it.
  /// E_TOKENIZER names the place of what is wrong or not supported.
  Tokenizer(std::string_view json, std::string_view changes);

  /// Appends the ids of a valid UTF-8 text. E_TOKENIZER when it holds what the vocabulary cannot spell and no unknown token is there.
  void encode(std::string_view text, const EncodeOptions& options, Work& work, Encoding& out) const;
  /// The text of ids; ids outside the vocabulary have none. Valid UTF-8.
  std::string decode(std::span<const uint32_t> ids, bool skip_special_tokens) const;

  /// The id of a token by its exact text, or `no_token`.
  uint32_t find(const std::string& token) const;
  /// One more than the largest id.
  uint32_t end() const { return std::max(added_.end(), model_->vocabulary().end()); }
  /// Ids of the special tokens, in order.
  std::vector<uint32_t> special_tokens() const;
  /// What the post-processor puts around a text.
  const std::vector<uint32_t>& prefix() const { return post_.prefix; }
  const std::vector<uint32_t>& suffix() const { return post_.suffix; }
  /// The type of the model, such as BPE.
  const std::string& model_type() const { return model_type_; }

 private:
  class Run;
  void read(const Json& file);
  void apply_changes(const Json& changes);
  std::string normalized(const std::string& text) const;

  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<Normalizer> continuing_normalizer_;  // without what `prepends_`; may be none
  bool prepends_ = false;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<Model> model_;
  std::string model_type_;
  PostProcessing post_;
  std::unique_ptr<Decoder> decoder_;
  AddedTokens added_;
};

}  // namespace fedlora::tokenizer
