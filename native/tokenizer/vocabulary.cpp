#include "tokenizer/vocabulary.h"

#include <bit>

namespace fedlora::tokenizer {

void Vocabulary::reserve(size_t tokens, size_t bytes) {
  texts_.reserve(bytes);
  places_.reserve(tokens);
  grow(std::bit_ceil(tokens * 2 + 16));
}

size_t Vocabulary::slot(std::string_view text) const {
  const size_t mask = table_.size() - 1;
  size_t at = hash_bytes(text) & mask;
  while (table_[at] != no_token && this->text(table_[at]) != text) at = (at + 1) & mask;
  return at;
}

void Vocabulary::grow(size_t slots) {
  if (slots <= table_.size()) return;
  std::vector<uint32_t> old(slots, no_token);
  old.swap(table_);
  for (const uint32_t id : old)
    if (id != no_token) table_[slot(text(id))] = id;
}

bool Vocabulary::add(std::string_view text, uint32_t id) {
  if (has(id)) return false;
  if (static_cast<size_t>(size_ + 1) * 2 > table_.size()) grow(std::bit_ceil(static_cast<size_t>(size_) * 4 + 16));
  if (id >= places_.size()) places_.resize(static_cast<size_t>(id) + 1);
  const size_t at = slot(text);
  places_[id] = {static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(text.size())};
  texts_ += text;
  size_ += table_[at] == no_token;
  table_[at] = id;
  return true;
}

uint32_t Vocabulary::find(std::string_view text) const { return table_.empty() ? no_token : table_[slot(text)]; }

}  // namespace fedlora::tokenizer
