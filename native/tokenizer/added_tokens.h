/// Tokens that were added to a vocabulary: they are found in the text before anything else, and cut it into sections.
#pragma once
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace fedlora::tokenizer {

struct AddedToken {
  std::string content;
  /// Only where it is a whole word; with the white space before it; with that behind it.
  bool single_word = false, lstrip = false, rstrip = false;
  /// Looked for in the normalised text, in its own normalised form.
  bool normalized = true;
  /// Left out by `skip_special_tokens`.
  bool special = false;
  bool operator==(const AddedToken&) const = default;
};

/// Reads one of `added_tokens`; its id is not part of it, the vocabulary decides.
AddedToken read_added_token(const Place& place);

class AddedTokens {
 public:
  /// A part of a text: an added token, or (`no_token`) what lies between two.
  struct Section {
    uint32_t begin, end, id;
  };
  using Normalize = std::function<std::string(const std::string&)>;

  /// Gives tokens their ids: that of the vocabulary when the text is there, else the next one behind the vocabulary and what was added
  /// by earlier calls. A token that is there already gets the new properties. Texts without characters are left out. E_TOKENIZER when
  /// an id belongs to another token.
  void add(const std::vector<AddedToken>& tokens, const Model& model, const Normalize& normalize);
  /// Prepares `split_…`, after all were added. E_TOKENIZER when two tokens have one normalised form.
  void build();

  /// The sections of a text that is not normalised yet, or is.
  void split_raw(std::string_view text, std::vector<Section>& out) const { split(raw_, text, out); }
  void split_normalized(std::string_view text, std::vector<Section>& out) const { split(normalized_, text, out); }
  bool any_normalized() const { return !normalized_.empty(); }

  uint32_t find(const std::string& content) const;
  const AddedToken* token(uint32_t id) const;
  /// What the decoder gets for an added token: its normalised form where it has another. Null for an id that is none.
  const std::string* decoded(uint32_t id) const;
  bool is_special(const std::string& text) const { return specials_.contains(text); }
  /// One more than the largest id.
  uint32_t end() const { return end_; }
  const std::unordered_map<uint32_t, AddedToken>& tokens() const { return tokens_; }

 private:
  void split(const Trie& trie, std::string_view text, std::vector<Section>& out) const;

  std::unordered_map<std::string, uint32_t> ids_;
  std::unordered_map<uint32_t, AddedToken> tokens_;
  std::unordered_map<uint32_t, std::string> forms_;  // normalised forms, where they differ
  std::unordered_set<std::string> specials_;
  Trie raw_, normalized_;
  uint32_t end_ = 0;
};

}  // namespace fedlora::tokenizer
