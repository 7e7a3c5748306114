/// Tokens by text and by id. Texts lie one after the other in one block; the table from text to id is open addressing over ids.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace fedlora::tokenizer {

/// No token.
constexpr uint32_t no_token = UINT32_MAX;
/// The largest id that is taken: a table by id stays small.
constexpr uint32_t largest_id = (1u << 23) - 1;

/// A 64-bit hash of some bytes, the same in every run.
inline uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t multiplier = 0x9E3779B97F4A7C15;
  const auto mix = [](uint64_t h) { return (h ^ (h >> 29)) * multiplier; };
  uint64_t hash = mix(bytes.size() + 1), word;
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::memcpy(&word, at, 8);
    hash = mix(hash ^ word);
  }
  if (left > 0) {
    word = 0;
    std::memcpy(&word, at, left);
    hash = mix(hash ^ word);
  }
  return hash ^ (hash >> 32);
}

class Vocabulary {
 public:
  /// Room for `tokens` tokens of `bytes` bytes together.
  void reserve(size_t tokens, size_t bytes);
  /// A text that is there already gets the new id as its id; the old id keeps its text. False when the id is taken: nothing is done.
  bool add(std::string_view text, uint32_t id);

  /// The id of a text, or `no_token`.
  uint32_t find(std::string_view text) const;
  bool has(uint32_t id) const { return id < places_.size() && places_[id].begin != no_token; }
  /// The text of an id that is there.
  std::string_view text(uint32_t id) const { return std::string_view(texts_).substr(places_[id].begin, places_[id].length); }

  /// How many texts there are.
  uint32_t size() const { return size_; }
  /// One more than the largest id.
  uint32_t end() const { return static_cast<uint32_t>(places_.size()); }

 private:
  struct Where {
    uint32_t begin = no_token, length = 0;
  };
  /// The slot that holds `text`, or the empty one where it would go.
  size_t slot(std::string_view text) const;
  void grow(size_t slots);

  std::string texts_;
  std::vector<Where> places_;    // by id
  std::vector<uint32_t> table_;  // ids; a power of two
  uint32_t size_ = 0;
};

}  // namespace fedlora::tokenizer
