/// Unigram: of all ways to cut a word into pieces, the one with the largest sum of scores (logarithms of probabilities), found by
/// Viterbi's algorithm from left to right in double. Kudo 2018, as tokenizer.json describes it.
#pragma once
#include <array>

#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace fedlora::tokenizer {

/// The score as the reference reads it: the digits as a whole number, then divided by a power of ten, which rounds twice and may differ
/// from the nearest double in its last bit. Where ways through a word cost the same but for rounding, that bit decides.
double score_of(double nearest);

class Unigram final : public Model {
 public:
  explicit Unigram(const Place& model);
  void cut(std::string_view word, Work& work, std::vector<Token>& out) const override;
  uint32_t size() const override { return vocabulary_.end(); }
  bool spells(uint32_t id) const override { return id == unknown_; }

 private:
  void push(std::string_view word, uint32_t begin, uint32_t end, uint32_t id, std::vector<Token>& out) const;

  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  uint32_t unknown_ = no_token;
  bool byte_fallback_ = false;
  std::array<uint32_t, 256> bytes_;
  Trie pieces_;
};

}  // namespace fedlora::tokenizer
