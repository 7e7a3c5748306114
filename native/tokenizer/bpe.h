/// Byte pair encoding: a word is spelt in characters, then neighbours are merged, always the pair of the lowest rank first, the leftmost
/// of equals. Sennrich et al. 2016, as tokenizer.json describes it.
#pragma once
#include <array>
#include <unordered_set>

#include "tokenizer/merge_table.h"
#include "tokenizer/model.h"

namespace fedlora::tokenizer {

class Bpe final : public Model {
 public:
  explicit Bpe(const Place& model);
  void cut(std::string_view word, Work& work, std::vector<Token>& out) const override;
  void expect_long_words() override;

 private:
  /// The characters of a word as tokens, and their lengths in bytes.
  struct Spelling {
    std::vector<uint32_t>&ids, &lengths;
    void add(uint32_t id, uint32_t length) { ids.push_back(id), lengths.push_back(length); }
  };
  void read_merges(const Place& merges);
  uint32_t unknown() const;
  /// The token of one character, `no_token` without one. `point` is its code point.
  uint32_t character(char32_t point, std::string_view text) const {
    return point < characters_.size() ? characters_[point] : vocabulary_.find(text);
  }
  void spell(std::string_view word, Work& work, Spelling& out) const;
  void merge_short(Work& work, Spelling& symbols) const;
  void merge_long(Work& work, Spelling& symbols) const;
  void cut_whole(std::string_view word, Work& work, std::vector<Token>& out) const;
  void cut_at_seams(std::string_view word, Work& work, std::vector<Token>& out) const;
  bool are_neighbours(char32_t left, char32_t right) const;

  MergeTable merges_;
  std::string unknown_, prefix_, suffix_;
  bool has_unknown_ = false, fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false;
  std::array<uint32_t, 512> characters_;  // by code point: the byte-level alphabet lies below 512
  std::array<uint32_t, 256> bytes_;       // <0x00> to <0xFF>, for byte_fallback
  std::vector<uint32_t> results_;         // what merges give
  // Long words are cut where no merge can ever join: between two characters that are neighbours in no token that a merge gives.
  bool seams_ = false;
  std::array<bool, 128 * 128> ascii_neighbours_{};
  std::unordered_set<uint64_t> neighbours_;
};

}  // namespace fedlora::tokenizer
