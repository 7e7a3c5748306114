#include "tokenizer/bpe.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {
/// Up to here the lowest rank is found by looking at all of them: shorter than keeping a heap.
constexpr size_t short_word = 64;
constexpr uint32_t removed = 0;  // length of a symbol that went into its left neighbour

uint64_t pair_of(char32_t left, char32_t right) { return static_cast<uint64_t>(left) << 32 | right; }
}  // namespace

Bpe::Bpe(const Place& model) {
  if (model.has("dropout") && model.at("dropout").number() > 0)
    model.at("dropout").refuse("dropout is not supported: ids would differ from call to call. Set it to null.");
  has_unknown_ = model.has("unk_token");
  unknown_ = model.text_or("unk_token", "");
  prefix_ = model.text_or("continuing_subword_prefix", "");
  suffix_ = model.text_or("end_of_word_suffix", "");
  fuse_unknown_ = model.flag_or("fuse_unk", false);
  byte_fallback_ = model.flag_or("byte_fallback", false);
  ignore_merges_ = model.flag_or("ignore_merges", false);
  read_vocabulary(model.at("vocab"), vocabulary_);
  read_merges(model.at("merges"));

  for (uint32_t point = 0; point < characters_.size(); ++point) {
    const char two[2] = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))}, one = static_cast<char>(point);
    characters_[point] = vocabulary_.find(point < 0x80 ? std::string_view(&one, 1) : std::string_view(two, 2));
  }
  for (uint32_t byte = 0; byte < bytes_.size(); ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    bytes_[byte] = vocabulary_.find(text);
  }
}

void Bpe::read_merges(const Place& merges) {
  if (!merges.is(Json::Kind::array)) merges.refuse("expected a list");
  const std::vector<Json>& list = merges.json().as_array("");
  merges_.reserve(list.size());
  results_.reserve(list.size());
  uint32_t rank = 0;
  std::string joined;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto refuse = [&](const std::string& what) { Place(list[i], merges.path() + "[" + std::to_string(i) + "]").refuse(what); };
    std::string_view left, right;
    if (list[i].is(Json::Kind::string)) {
      const std::string& line = list[i].as_string("");
      if (line.starts_with("#version")) continue;
      const size_t space = line.find(' ');
      if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos)
        refuse("expected two tokens with one space between, got " + quoted(line));
      left = std::string_view(line).substr(0, space), right = std::string_view(line).substr(space + 1);
    } else if (list[i].is(Json::Kind::array)) {
      const std::vector<Json>& pair = list[i].as_array("");
      if (pair.size() != 2 || !pair[0].is(Json::Kind::string) || !pair[1].is(Json::Kind::string)) refuse("expected a pair of strings");
      left = pair[0].as_string(""), right = pair[1].as_string("");
    } else {
      refuse("expected a string or a pair of strings");
    }
    const uint32_t left_id = vocabulary_.find(left), right_id = vocabulary_.find(right);
    if (left_id == no_token || right_id == no_token)
      refuse("the token " + quoted(left_id == no_token ? left : right) + " is not in the vocabulary");
    if (right.size() < prefix_.size()) refuse("the second token is shorter than continuing_subword_prefix");
    joined.assign(left).append(right.substr(prefix_.size()));
    const uint32_t id = vocabulary_.find(joined);
    if (id == no_token) refuse("the two give " + quoted(joined) + ", which is not in the vocabulary");
    merges_.set(left_id, right_id, {rank++, id});
    results_.push_back(id);
  }
}

void Bpe::expect_long_words() {
  // Characters tell nothing when a symbol's text is not the text that it stands for.
  if (!prefix_.empty() || !suffix_.empty()) return;
  const auto begins_with = [&](uint32_t id, std::string_view text) { return !text.empty() && vocabulary_.text(id).starts_with(text); };
  for (const uint32_t id : results_) {
    if ((byte_fallback_ && begins_with(id, "<0x")) || (has_unknown_ && vocabulary_.text(id).find(unknown_) != std::string_view::npos))
      return;
    const std::string_view text = vocabulary_.text(id);
    if (byte_fallback_ && text.find("<0x") != std::string_view::npos) return;
    char32_t left = 0;
    for (size_t at = 0; at < text.size();) {
      const bool first = at == 0;
      const char32_t right = unicode::decode(text, at);
      if (!first && left < 128 && right < 128)
        ascii_neighbours_[left * 128 + right] = true;
      else if (!first)
        neighbours_.insert(pair_of(left, right));
      left = right;
    }
  }
  seams_ = true;
}

bool Bpe::are_neighbours(char32_t left, char32_t right) const {
  if (left < 128 && right < 128) return ascii_neighbours_[left * 128 + right];
  return neighbours_.contains(pair_of(left, right));
}

uint32_t Bpe::unknown() const {
  const uint32_t id = vocabulary_.find(unknown_);
  if (id == no_token)
    fail(Code::E_TOKENIZER, "model: the text needs the unknown token %s, which is not in the vocabulary.", quoted(unknown_).c_str());
  return id;
}

void Bpe::cut(std::string_view word, Work& work, std::vector<Token>& out) const {
  if (ignore_merges_)
    if (const uint32_t id = vocabulary_.find(word); id != no_token) return out.push_back({id, 0, static_cast<uint32_t>(word.size())});
  if (seams_ && word.size() > WordMemory::longest)
    cut_at_seams(word, work, out);
  else
    cut_whole(word, work, out);
}

void Bpe::cut_at_seams(std::string_view word, Work& work, std::vector<Token>& out) const {
  // A seam lies between two characters of the vocabulary only, so that a run of unknown ones stays together.
  char32_t left = 0;
  bool left_known = false;
  uint32_t begin = 0, base = 0;
  const auto take = [&](uint32_t end) {
    const std::string_view part = word.substr(begin, end - begin);
    const size_t before = out.size();
    work.check();
    // The whole word was looked up before; a part must not be.
    if (ignore_merges_)
      cut_whole(part, work, out);
    else if (part.size() <= WordMemory::longest)
      encode(part, work, out);
    else
      cut_whole(part, work, out);
    for (size_t i = before; i < out.size(); ++i) out[i].begin += base, out[i].end += base;
    if (out.size() > before) base = out.back().end;
    begin = end;
  };
  for (size_t at = 0; at < word.size();) {
    const auto here = static_cast<uint32_t>(at);
    const char32_t right = unicode::decode(word, at);
    const bool known = character(right, word.substr(here, at - here)) != no_token;
    if (here > begin && known && left_known && !are_neighbours(left, right)) take(here);
    left = right, left_known = known;
  }
  take(static_cast<uint32_t>(word.size()));
}

void Bpe::cut_whole(std::string_view word, Work& work, std::vector<Token>& out) const {
  Spelling symbols{work.numbers[0], work.numbers[1]};
  symbols.ids.clear(), symbols.lengths.clear();
  spell(word, work, symbols);
  if (symbols.ids.size() <= short_word)
    merge_short(work, symbols);
  else
    merge_long(work, symbols);
  uint32_t at = 0;
  for (size_t i = 0; i < symbols.ids.size(); ++i) {
    const uint32_t length = symbols.lengths[i];
    if (length == removed) continue;
    out.push_back({symbols.ids[i], at, at + length});
    at += length;
  }
}

void Bpe::spell(std::string_view word, Work& work, Spelling& out) const {
  uint32_t unknown_length = 0;  // of the unknown token that waits; it is written before the next known character
  uint32_t unknown_id = no_token;
  const auto write_unknown = [&] {
    if (unknown_id != no_token) out.add(unknown_id, unknown_length);
    unknown_id = no_token;
  };
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    const char32_t point = unicode::decode(word, at);
    const auto length = static_cast<uint32_t>(at - begin);
    std::string_view text = word.substr(begin, length);
    const bool prefixed = begin > 0 && !prefix_.empty(), suffixed = at == word.size() && !suffix_.empty();
    uint32_t id;
    if (prefixed || suffixed) {
      work.text.assign(prefixed ? prefix_ : "").append(text).append(suffixed ? suffix_ : "");
      text = work.text;
      id = vocabulary_.find(text);
    } else {
      id = character(point, text);
    }
    if (id != no_token) {
      write_unknown();
      out.add(id, length);
      continue;
    }
    if (byte_fallback_ &&
        std::all_of(text.begin(), text.end(), [&](char c) { return bytes_[static_cast<unsigned char>(c)] != no_token; })) {
      // Bytes come before an unknown token that waits, as in the reference.
      for (const char c : text) out.add(bytes_[static_cast<unsigned char>(c)], 1);
      continue;
    }
    if (!has_unknown_) continue;  // the reference leaves out what it cannot spell
    if (!fuse_unknown_ || unknown_id == no_token) {
      write_unknown();
      unknown_id = unknown(), unknown_length = 0;
    }
    unknown_length += length;
  }
  write_unknown();
}

void Bpe::merge_short(Work& work, Spelling& symbols) const {
  std::vector<uint32_t>&ids = symbols.ids, &lengths = symbols.lengths, &ranks = work.numbers[2], &results = work.numbers[3];
  if (ids.size() < 2) return;
  ranks.resize(ids.size()), results.resize(ids.size());
  const auto look = [&](size_t i) {
    const MergeTable::Merge merge = merges_.find(ids[i], ids[i + 1]);
    ranks[i] = merge.rank, results[i] = merge.id;
  };
  size_t count = ids.size();
  for (size_t i = 0; i + 1 < count; ++i) look(i);
  while (count > 1) {
    const size_t best =
        static_cast<size_t>(std::min_element(ranks.begin(), ranks.begin() + static_cast<ptrdiff_t>(count) - 1) - ranks.begin());
    if (ranks[best] == no_token) break;
    ids[best] = results[best];
    lengths[best] += lengths[best + 1];
    const auto close = [&](std::vector<uint32_t>& list) {
      std::copy(list.begin() + static_cast<ptrdiff_t>(best) + 2, list.begin() + static_cast<ptrdiff_t>(count),
                list.begin() + static_cast<ptrdiff_t>(best) + 1);
    };
    close(ids), close(lengths), close(ranks), close(results);
    --count;
    if (best + 1 < count) look(best);
    if (best > 0) look(best - 1);
  }
  ids.resize(count), lengths.resize(count);
}

void Bpe::merge_long(Work& work, Spelling& symbols) const {
  std::vector<uint32_t>&ids = symbols.ids, &lengths = symbols.lengths, &next = work.numbers[2], &previous = work.numbers[3];
  // A waiting pair is its rank and the place of its left symbol: the smallest is the lowest rank, then the leftmost.
  std::vector<uint64_t>& heap = work.heap;
  const uint32_t count = static_cast<uint32_t>(ids.size());
  next.resize(count), previous.resize(count), heap.clear();
  const auto later = std::greater<uint64_t>();
  const auto rank_of = [&](uint32_t at) { return next[at] < count ? merges_.find(ids[at], ids[next[at]]).rank : no_token; };
  for (uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1, previous[i] = i - 1;
    if (i + 1 < count)
      if (const uint32_t rank = merges_.find(ids[i], ids[i + 1]).rank; rank != no_token) heap.push_back(pair_of(rank, i));
  }
  std::make_heap(heap.begin(), heap.end(), later);
  const auto push = [&](uint32_t at) {
    const uint32_t rank = rank_of(at);
    if (rank == no_token) return;
    heap.push_back(pair_of(rank, at));
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (uint32_t step = 0; !heap.empty(); ++step) {
    if (step % 4096 == 0) work.check();
    const auto at = static_cast<uint32_t>(heap.front()), rank = static_cast<uint32_t>(heap.front() >> 32);
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    if (lengths[at] == removed || next[at] >= count) continue;
    const uint32_t right = next[at];
    const MergeTable::Merge merge = merges_.find(ids[at], ids[right]);
    if (merge.rank != rank) continue;  // one of the two went into another merge since
    ids[at] = merge.id;
    lengths[at] += lengths[right];
    lengths[right] = removed;
    next[at] = next[right];
    if (next[at] < count) previous[next[at]] = at;
    if (at > 0 && previous[at] < count) push(previous[at]);
    push(at);
  }
}

std::unique_ptr<Model> make_bpe(const Place& model) { return std::make_unique<Bpe>(model); }

}  // namespace fedlora::tokenizer
