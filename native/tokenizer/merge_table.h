/// Pairs of ids → the rank of their merge and the id that it gives. Open addressing.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace fedlora::tokenizer {

class MergeTable {
 public:
  struct Merge {
    uint32_t rank = no_token;  // no_token: the two are not merged
    uint32_t id = no_token;
  };

  void reserve(size_t merges) {
    entries_.assign(std::bit_ceil(merges * 2 + 2), {});
    mask_ = entries_.size() - 1;
  }
  /// Within the number reserved. A pair that is there gets the new rank.
  void set(uint32_t left, uint32_t right, Merge merge) { entries_[slot(key(left, right))] = {key(left, right), merge}; }
  Merge find(uint32_t left, uint32_t right) const { return entries_[slot(key(left, right))].merge; }

 private:
  struct Entry {
    uint64_t pair = UINT64_MAX;
    Merge merge;
  };
  static uint64_t key(uint32_t left, uint32_t right) { return static_cast<uint64_t>(left) << 32 | right; }
  size_t slot(uint64_t pair) const {
    size_t at = (pair * 0x9E3779B97F4A7C15 >> 32) & mask_;
    while (entries_[at].pair != pair && entries_[at].pair != UINT64_MAX) at = (at + 1) & mask_;
    return at;
  }
  std::vector<Entry> entries_{2};
  size_t mask_ = 1;
};

}  // namespace fedlora::tokenizer
