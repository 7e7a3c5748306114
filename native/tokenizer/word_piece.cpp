/// WordPiece: the longest token that the word begins with, then the longest that its rest begins with, and so on; a word that ends
/// nowhere is one unknown token. WordLevel: the word itself, or unknown.
#include "base/error.h"
#include "tokenizer/model.h"
#include "tokenizer/trie.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {

uint32_t need_unknown(const Vocabulary& vocabulary, const std::string& unknown, std::string_view word) {
  const uint32_t id = vocabulary.find(unknown);
  if (id == no_token)
    fail(Code::E_TOKENIZER, "model: the vocabulary lacks %s, and the unknown token %s too.", quoted(word).c_str(), quoted(unknown).c_str());
  return id;
}

class WordPiece final : public Model {
 public:
  explicit WordPiece(const Place& model)
      : unknown_(model.at("unk_token").text()), most_characters_(model.at("max_input_chars_per_word").integer(0, INT64_MAX)) {
    read_vocabulary(model.at("vocab"), vocabulary_);
    std::vector<std::pair<std::string_view, uint32_t>> tokens;
    tokens.reserve(vocabulary_.size());
    for (uint32_t id = 0; id < vocabulary_.end(); ++id)
      if (vocabulary_.has(id)) tokens.emplace_back(vocabulary_.text(id), id);
    trie_ = Trie(std::move(tokens));
    continuing_ = trie_.walk(Trie::root, model.at("continuing_subword_prefix").text());
  }

  void cut(std::string_view word, Work&, std::vector<Token>& out) const override {
    const auto size = static_cast<uint32_t>(word.size());
    const size_t before = out.size();
    int64_t characters = 0;
    for (const char c : word) characters += !unicode::is_continuation(c);
    bool spelt = characters <= most_characters_;
    for (uint32_t begin = 0; spelt && begin < size;) {
      uint32_t node = begin == 0 ? Trie::root : continuing_, id = no_token, end = begin;
      for (uint32_t at = begin; node != Trie::none && at < size;) {
        node = trie_.child(node, static_cast<unsigned char>(word[at++]));
        if (node != Trie::none && trie_.value(node) != no_token) id = trie_.value(node), end = at;
      }
      spelt = id != no_token;
      if (spelt) out.push_back({id, begin, end});
      begin = end;
    }
    if (spelt) return;
    out.resize(before);
    out.push_back({need_unknown(vocabulary_, unknown_, word), 0, size});
  }

 private:
  std::string unknown_;
  int64_t most_characters_;
  Trie trie_;
  uint32_t continuing_;  // where the tokens begin that go on within a word
};

class WordLevel final : public Model {
 public:
  explicit WordLevel(const Place& model) : unknown_(model.at("unk_token").text()) { read_vocabulary(model.at("vocab"), vocabulary_); }

  void cut(std::string_view word, Work&, std::vector<Token>& out) const override {
    uint32_t id = vocabulary_.find(word);
    if (id == no_token) id = need_unknown(vocabulary_, unknown_, word);
    out.push_back({id, 0, static_cast<uint32_t>(word.size())});
  }

 private:
  std::string unknown_;
};

}  // namespace

std::unique_ptr<Model> make_word_piece(const Place& model) { return std::make_unique<WordPiece>(model); }
std::unique_ptr<Model> make_word_level(const Place& model) { return std::make_unique<WordLevel>(model); }

}  // namespace fedlora::tokenizer
