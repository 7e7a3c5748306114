/// Remembers the tokens of words: most of a text are words that came before. A fixed table, one place a word; a newer word takes the
/// place of an older one, so that its size is bounded whatever is encoded. Words of more than 38 bytes or 8 tokens are not kept.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace fedlora::tokenizer {

/// A token of a word: bytes [begin, end) of the word.
struct Token {
  uint32_t id, begin, end;
  bool operator==(const Token&) const = default;
};

class WordMemory {
 public:
  /// What a word's tokens are: of the text as it is, or of its bytes in the byte-level alphabet.
  enum Kind : uint8_t { none, plain, bytes };
  static constexpr size_t longest = 38, most = 8;

  struct Entry {
    /// Appends the tokens when the entry is the word that was asked for.
    bool append_to(std::vector<Token>& out) const {
      if (!found) return false;
      for (size_t i = 0; i < count; ++i) out.push_back({ids[i], begins[i], ends[i]});
      return true;
    }
    void keep(std::string_view word, Kind of, const Token* tokens, size_t number) {
      if (number > most) return;
      for (size_t i = 0; i < number; ++i) {
        if (tokens[i].end > UINT8_MAX) return;
        ids[i] = tokens[i].id;
        begins[i] = static_cast<uint8_t>(tokens[i].begin), ends[i] = static_cast<uint8_t>(tokens[i].end);
      }
      kind = of, count = static_cast<uint8_t>(number), length = static_cast<uint8_t>(word.size());
      std::memcpy(text, word.data(), word.size());
    }

    uint32_t ids[most];
    uint8_t begins[most], ends[most];
    char text[longest];
    uint8_t length = 0, count = 0;
    Kind kind = none;
    bool found = false;  // by the last `entry`
  };

  /// The place of a word, null when it is too long for one.
  Entry* entry(std::string_view word, Kind kind) {
    if (word.size() > longest) return nullptr;
    if (!entries_) entries_ = std::make_unique<Entry[]>(places);
    Entry& entry = entries_[(hash_bytes(word) + kind) % places];
    entry.found = entry.kind == kind && entry.length == word.size() && std::memcmp(entry.text, word.data(), word.size()) == 0;
    return &entry;
  }

 private:
  static constexpr size_t places = 1 << 14;
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace fedlora::tokenizer
