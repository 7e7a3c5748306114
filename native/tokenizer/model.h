/// What every model of tokenizer.json is: a vocabulary, and a way to cut one word into tokens of it.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/place.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/word_memory.h"

namespace fedlora::tokenizer {

/// Thrown out of a long text when `Work::cancel` is set.
struct Stopped {};

/// What one thread needs to encode: kept between texts, never shared.
struct Work {
  WordMemory words;
  std::vector<Token> tokens;  // of the word at hand
  std::string alphabet;       // the word in the byte-level alphabet
  std::string text;           // scratch of a model, like the following
  std::vector<uint32_t> numbers[4];
  std::vector<uint64_t> heap;
  std::vector<double> scores;
  const std::atomic<bool>* cancel = nullptr;

  void check() const {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Stopped{};
  }
};

class Model {
 public:
  virtual ~Model() = default;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  /// How many entries the file's vocabulary has: where the ids of further tokens begin.
  virtual uint32_t size() const { return vocabulary_.size(); }
  /// Whether the text of tokens of this id is that of the word there instead of the vocabulary's: what Unigram does not know.
  virtual bool spells(uint32_t) const { return false; }

  /// Appends the tokens of a word that is not empty. E_TOKENIZER when it cannot be spelt and no unknown token is there to stand for it.
  virtual void cut(std::string_view word, Work& work, std::vector<Token>& out) const = 0;
  /// Words may be whole texts: prepares for that.
  virtual void expect_long_words() {}

  /// The same as `cut`, remembered.
  void encode(std::string_view word, Work& work, std::vector<Token>& out) const {
    WordMemory::Entry* entry = work.words.entry(word, WordMemory::plain);
    if (entry != nullptr && entry->append_to(out)) return;
    const size_t before = out.size();
    cut(word, work, out);
    if (entry != nullptr) entry->keep(word, WordMemory::plain, out.data() + before, out.size() - before);
  }

 protected:
  Vocabulary vocabulary_;
};

/// Reads the object of `model`. E_TOKENIZER names what is wrong or not supported.
std::unique_ptr<Model> make_model(const Place& model);
std::unique_ptr<Model> make_bpe(const Place& model);
std::unique_ptr<Model> make_unigram(const Place& model);
std::unique_ptr<Model> make_word_piece(const Place& model);
std::unique_ptr<Model> make_word_level(const Place& model);

/// Fills a vocabulary from an object of text → id.
void read_vocabulary(const Place& vocab, Vocabulary& out);
/// The longest text that a token may have, in bytes.
constexpr size_t longest_token = 1 << 16;

}  // namespace fedlora::tokenizer
