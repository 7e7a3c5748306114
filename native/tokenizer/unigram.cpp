#include "tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {
/// What an unknown character costs beside the worst piece.
constexpr double unknown_penalty = 10.0;
}  // namespace

// The digits are the shortest that read back as the score, mantissa / 2^shift. With k of them behind the point they are
// round(mantissa · 10^k / 2^shift), and read back where they are wrong by less than half a unit of the mantissa: all exact in 128 bits.
double score_of(double nearest) {
  using Wide = unsigned __int128;
  int exponent;
  const auto mantissa = static_cast<uint64_t>(std::ldexp(std::frexp(std::fabs(nearest), &exponent), 53));
  const int shift = 53 - exponent;
  if (shift < 1 || shift > 126) return nearest;  // a whole number; too small for powers of ten that a double holds
  const Wide half = Wide{1} << (shift - 1);
  Wide power = 1;
  for (int behind_point = 0; behind_point <= 22; ++behind_point, power *= 10) {  // 10^22 is the last that a double holds
    const Wide scaled = mantissa * power;
    Wide digits = (scaled + half) >> shift;
    if ((digits << shift) == scaled + half) digits &= ~Wide{1};  // of two that are as near, the even one
    const Wide again = digits << shift, wrong = again < scaled ? scaled - again : again - scaled;
    // Half a unit below a power of two reads back as its neighbour; no power in this range has so short a decimal there.
    if (2 * wrong < power) return std::copysign(static_cast<double>(static_cast<uint64_t>(digits)) / static_cast<double>(power), nearest);
  }
  return nearest;
}

Unigram::Unigram(const Place& model) {
  const Place vocab = model.at("vocab");
  if (!vocab.is(Json::Kind::array)) vocab.refuse("expected a list of pairs of a token and its score");
  const std::vector<Json>& list = vocab.json().as_array("");
  if (list.size() > largest_id) vocab.refuse("more tokens than " + std::to_string(largest_id));
  size_t bytes = 0;
  for (const Json& entry : list)
    bytes += entry.is(Json::Kind::array) && !entry.as_array("").empty() && entry.as_array("")[0].is(Json::Kind::string)
                 ? entry.as_array("")[0].as_string("").size()
                 : 0;
  vocabulary_.reserve(list.size(), bytes);
  scores_.reserve(list.size());
  double least = std::numeric_limits<double>::infinity();
  for (const Json& entry : list) {
    const auto refuse = [&](const char* what) { Place(entry, vocab.path() + "[" + std::to_string(scores_.size()) + "]").refuse(what); };
    if (!entry.is(Json::Kind::array) || entry.as_array("").size() != 2) refuse("expected a pair of a token and its score");
    const Json &text = entry.as_array("")[0], &score = entry.as_array("")[1];
    if (!text.is(Json::Kind::string)) refuse("expected a string as the token");
    if (!score.is(Json::Kind::number)) refuse("expected a number as the score");
    if (text.as_string("").size() > longest_token) refuse("the token is longer than 65536 bytes");
    vocabulary_.add(text.as_string(""), static_cast<uint32_t>(scores_.size()));
    scores_.push_back(score_of(score.as_double("")));
    least = std::min(least, scores_.back());
  }
  unknown_score_ = least - unknown_penalty;
  if (model.has("unk_id")) {
    if (list.empty()) vocab.refuse("the vocabulary is empty, and unk_id names a token of it");
    unknown_ = static_cast<uint32_t>(model.at("unk_id").integer(0, static_cast<int64_t>(list.size()) - 1));
  }
  byte_fallback_ = model.flag_or("byte_fallback", false);
  for (uint32_t byte = 0; byte < bytes_.size(); ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    bytes_[byte] = vocabulary_.find(text);
  }
  std::vector<std::pair<std::string_view, uint32_t>> pieces;
  pieces.reserve(scores_.size());
  for (uint32_t id = 0; id < scores_.size(); ++id) pieces.emplace_back(vocabulary_.text(id), id);
  pieces_ = Trie(std::move(pieces));
}

void Unigram::cut(std::string_view word, Work& work, std::vector<Token>& out) const {
  const auto size = static_cast<uint32_t>(word.size());
  // The best way to every byte: its score, where its last piece begins, and that piece.
  std::vector<double>& best = work.scores;
  std::vector<uint32_t>&begins = work.numbers[0], &pieces = work.numbers[1];
  best.assign(size + 1, 0.0), begins.assign(size + 1, no_token), pieces.resize(size + 1);
  const auto offer = [&](uint32_t begin, uint32_t end, double score, uint32_t id) {
    if (begins[end] != no_token && !(score > best[end])) return;
    best[end] = score, begins[end] = begin, pieces[end] = id;
  };
  uint32_t steps = 0;
  for (uint32_t begin = 0; begin < size;) {
    if (++steps % 4096 == 0) work.check();
    const auto length = static_cast<uint32_t>(unicode::length_of(word[begin]));
    bool single = false;  // a piece of exactly this character
    uint32_t node = Trie::root;
    for (uint32_t at = begin; at < size;) {
      node = pieces_.child(node, static_cast<unsigned char>(word[at++]));
      if (node == Trie::none) break;
      const uint32_t id = pieces_.value(node);
      if (id == no_token) continue;
      offer(begin, at, scores_[id] + best[begin], id);
      single = single || at == begin + length;
    }
    if (!single) {
      const double score = unknown_score_ + best[begin];
      const uint32_t end = begin + length;
      if (begins[end] == no_token || score > best[end]) {
        if (unknown_ == no_token) fail(Code::E_TOKENIZER, "model: the text holds what the vocabulary cannot spell, and unk_id is null.");
        offer(begin, end, score, unknown_);
      }
    }
    begin += length;
  }

  // Backwards along the best way; neighbours that are unknown become one.
  std::vector<uint32_t>& ends = work.numbers[2];
  ends.clear();
  for (uint32_t end = size; end > 0; end = begins[end]) ends.push_back(end);
  for (size_t i = ends.size(); i-- > 0;) {
    const uint32_t begin = begins[ends[i]];
    if (pieces[ends[i]] != unknown_) {
      out.push_back({pieces[ends[i]], begin, ends[i]});
      continue;
    }
    while (i > 0 && pieces[ends[i - 1]] == unknown_) --i;
    push(word, begin, ends[i], unknown_, out);
  }
}

void Unigram::push(std::string_view word, uint32_t begin, uint32_t end, uint32_t id, std::vector<Token>& out) const {
  const std::string_view text = word.substr(begin, end - begin);
  if (const uint32_t known = vocabulary_.find(text); known != no_token) return out.push_back({known, begin, end});
  const bool by_bytes =
      byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) { return bytes_[static_cast<unsigned char>(c)] != no_token; });
  if (!by_bytes) return out.push_back({id, begin, end});
  for (const char c : text) out.push_back({bytes_[static_cast<unsigned char>(c)], begin, end});
}

std::unique_ptr<Model> make_unigram(const Place& model) { return std::make_unique<Unigram>(model); }

}  // namespace fedlora::tokenizer
