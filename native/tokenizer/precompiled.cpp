#include "tokenizer/precompiled.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "tokenizer/alignment.h"
#include "unicode/graphemes.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {
constexpr size_t largest_cluster = 5;  // bytes of a cluster that is replaced as a whole

/// RFC 4648, padded. Nothing when `text` is malformed.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t at = 0; at < text.size(); at += 4) {
    uint32_t bits = 0;
    int padding = 0;
    for (size_t i = 0; i < 4; ++i) {
      const char c = text[at + i];
      uint32_t value = 0;
      if (c >= 'A' && c <= 'Z') {
        value = static_cast<uint32_t>(c - 'A');
      } else if (c >= 'a' && c <= 'z') {
        value = static_cast<uint32_t>(c - 'a' + 26);
      } else if (c >= '0' && c <= '9') {
        value = static_cast<uint32_t>(c - '0' + 52);
      } else if (c == '+') {
        value = 62;
      } else if (c == '/') {
        value = 63;
      } else if (c == '=' && i >= 2 && at + 4 == text.size()) {
        ++padding;
      } else {
        return std::nullopt;
      }
      if (c != '=' && padding > 0) return std::nullopt;
      bits = bits << 6 | value;
    }
    for (int i = 0; i < 3 - padding; ++i) out.push_back(static_cast<char>(bits >> (16 - 8 * i)));
  }
  return out;
}

// A unit of the array: bit 8 says that a value hangs below it, bits 10 and above lead to its children, the low byte is its own label.
uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label_of(uint32_t unit) { return unit & (1u << 31 | 0xFF); }

/// Adds `part`, which became `text`.
void add_replaced(std::vector<Change>& changes, std::string_view part, std::string_view text) {
  const auto characters = [](std::string_view of) {
    return std::count_if(of.begin(), of.end(), [](char byte) { return !unicode::is_continuation(byte); });
  };
  for (size_t at = 0; at < text.size();) changes.push_back({unicode::decode(text, at), 0});
  const auto more = static_cast<int32_t>(characters(text) - characters(part));
  for (int32_t i = 0; i < more; ++i) changes[changes.size() - 1 - static_cast<size_t>(i)].change = 1;
  // What is gone is said of the last character, of an earlier part too.
  if (more < 0 && !changes.empty()) changes.back().change += more;
}
}  // namespace

Precompiled::Precompiled(const std::string& charsmap) {
  const auto bytes = decode_base64(charsmap);
  if (!bytes) fail(Code::E_TOKENIZER, "normalizer.precompiled_charsmap: expected base64");
  const auto number_at = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>((*bytes)[at + i])} << (8 * i);
    return value;
  };
  const uint64_t array = bytes->size() < 4 ? 0 : number_at(0) / 4 * 4;
  if (bytes->size() < 4 || array < 4 || 4 + array > bytes->size()) {
    fail(Code::E_TOKENIZER, "normalizer.precompiled_charsmap: expected an array and texts, got %zu bytes that hold neither", bytes->size());
  }
  units_.resize(array / 4);
  for (size_t i = 0; i < units_.size(); ++i) units_[i] = number_at(4 + 4 * i);
  texts_ = bytes->substr(4 + array);
  if (!unicode::is_valid(texts_)) fail(Code::E_TOKENIZER, "normalizer.precompiled_charsmap: its texts are not UTF-8");
}

std::optional<std::string_view> Precompiled::replacement(std::string_view part) const {
  uint32_t at = offset_of(units_[0]);
  for (const char byte : part) {
    const auto label = static_cast<uint8_t>(byte);
    if (label == 0) break;
    at ^= label;
    if (at >= units_.size() || label_of(units_[at]) != label) break;
    const uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (!has_value(unit)) continue;
    const size_t begin = at < units_.size() ? units_[at] & ~(1u << 31) : texts_.size();
    if (begin > texts_.size() || (begin < texts_.size() && unicode::is_continuation(texts_[begin]))) break;
    return std::string_view(texts_).substr(begin, std::min(texts_.find('\0', begin), texts_.size()) - begin);
  }
  return std::nullopt;
}

void Precompiled::apply(AlignedText& text) const {
  const std::string_view all = text.text;
  std::vector<Change> changes;
  changes.reserve(all.size());
  bool replaced = false;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = unicode::cluster_end(all, begin);
    const std::string_view cluster = all.substr(begin, end - begin);
    begin = end;
    if (cluster.size() <= largest_cluster) {
      if (const auto whole = replacement(cluster)) {
        add_replaced(changes, cluster, *whole);
        replaced = true;
        continue;
      }
    }
    for (size_t at = 0; at < cluster.size();) {
      const size_t from = at;
      const char32_t code = unicode::decode(cluster, at);
      const std::string_view character = cluster.substr(from, at - from);
      if (const auto one = replacement(character)) {
        add_replaced(changes, character, *one);
        replaced = true;
      } else {
        changes.push_back({code, 0});
      }
    }
  }
  if (replaced) transform(text, changes, 0);
}

}  // namespace fedlora::tokenizer
