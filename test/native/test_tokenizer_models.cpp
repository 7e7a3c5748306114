// The models beside slow ones written from their definitions, and what they stand on: vocabulary, trie, memory of words.
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "harness.h"
#include "tokenizer/bpe.h"
#include "tokenizer/model.h"
#include "tokenizer/trie.h"
#include "tokenizer/unigram.h"
#include "unicode/utf8.h"

using namespace fedlora;
using namespace fedlora::tokenizer;

namespace {

class Draw {
 public:
  explicit Draw(uint64_t seed) : state_(seed * 2 + 1) {}
  uint32_t below(uint32_t limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33) % limit;
  }

 private:
  uint64_t state_;
};

std::unique_ptr<Model> model_of(const std::string& json) {
  static std::vector<std::unique_ptr<Json>> kept;
  kept.push_back(std::make_unique<Json>(parse_json(json, "test")));
  return make_model(Place(*kept.back(), "model"));
}

std::vector<Token> cut(const Model& model, const std::string& word) {
  Work work;
  std::vector<Token> out;
  model.cut(word, work, out);
  return out;
}

/// A BPE over letters with merges drawn at random, as JSON and as tables.
struct Drawn {
  std::map<std::string, uint32_t> vocab;
  std::vector<std::pair<std::string, std::string>> merges;

  explicit Drawn(uint64_t seed, int count) {
    Draw draw(seed);
    for (const char* letter : {"a", "b", "c", "é", "▁"}) vocab.emplace(letter, vocab.size());
    std::vector<std::string> texts;
    for (const auto& [text, id] : vocab) texts.push_back(text);
    for (int i = 0; i < count; ++i) {
      const std::string left = texts[draw.below(static_cast<uint32_t>(texts.size()))],
                        right = texts[draw.below(static_cast<uint32_t>(texts.size()))];
      if ((left + right).size() > 12) continue;
      if (vocab.emplace(left + right, vocab.size()).second) texts.push_back(left + right);
      merges.emplace_back(left, right);
    }
  }
  std::string json(const std::string& more = "") const {
    std::string out = "{\"type\":\"BPE\"" + more + ",\"vocab\":{";
    for (const auto& [text, id] : vocab) out += (out.back() == '{' ? "\"" : ",\"") + text + "\":" + std::to_string(id);
    out += "},\"merges\":[";
    for (const auto& [left, right] : merges) out += (out.back() == '[' ? "[\"" : ",[\"") + left + "\",\"" + right + "\"]";
    return out + "]}";
  }
  /// The definition: the lowest rank anywhere, the leftmost (`last`: the rightmost) of equals, one at a time.
  std::vector<Token> slow(const std::string& word, bool last = false) const {
    std::map<std::pair<std::string, std::string>, size_t> ranks;
    for (size_t i = 0; i < merges.size(); ++i) ranks[merges[i]] = i;
    std::vector<std::string> parts;
    for (size_t at = 0, next = 0; at < word.size(); at = next) {
      unicode::decode(word, next);
      parts.push_back(word.substr(at, next - at));
    }
    for (;;) {
      size_t best = SIZE_MAX, rank = SIZE_MAX;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto found = ranks.find({parts[i], parts[i + 1]});
        if (found != ranks.end() && (found->second < rank || (last && found->second == rank))) best = i, rank = found->second;
      }
      if (best == SIZE_MAX) break;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
    }
    std::vector<Token> out;
    uint32_t at = 0;
    for (const std::string& part : parts) {
      out.push_back({vocab.at(part), at, at + static_cast<uint32_t>(part.size())});
      at += static_cast<uint32_t>(part.size());
    }
    return out;
  }
};

std::string drawn_word(Draw& draw, uint32_t length) {
  std::string word;
  for (uint32_t i = 0; i < length; ++i) word += std::vector<std::string>{"a", "b", "c", "é", "▁", "a"}[draw.below(6)];
  return word;
}

int wrong_words(bool long_words, bool last) {
  int wrong = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const Drawn drawn(seed, static_cast<int>(4 + seed * 6));
    const auto model = model_of(drawn.json());
    if (long_words) model->expect_long_words();
    Draw draw(seed + 100);
    for (const uint32_t length : {1u, 2u, 3u, 5u, 9u, 17u, 40u, 63u, 64u, 65u, 66u, 130u, 400u})
      for (int i = 0; i < 6; ++i) {
        const std::string word = drawn_word(draw, length);
        wrong += cut(*model, word) != drawn.slow(word, last);
      }
  }
  return wrong;
}

}  // namespace

CASE("BPE: every word, short and long, is merged as the definition says") { CHECK(wrong_words(false, false) == 0); }
CASE("BPE: cutting long words where nothing merges changes nothing") { CHECK(wrong_words(true, false) == 0); }
CASE("BPE: pairs that wait longer than they last") {
  int wrong = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    const Drawn drawn(seed + 1000, 30);
    Draw draw(seed);
    const std::string word = drawn_word(draw, 90);
    wrong += cut(*model_of(drawn.json()), word) != drawn.slow(word);
  }
  CHECK(wrong == 0);
  // b c comes first; a b, which waited, is gone then, and must not let a bc go before bc d.
  const auto model =
      model_of(R"({"type":"BPE","vocab":{"a":0,"b":1,"c":2,"d":3,"bc":4,"ab":5,"bcd":6,"abc":7},"merges":["b c","a b","bc d","a bc"]})");
  std::string word;
  for (int i = 0; i < 30; ++i) word += "abcd";
  CHECK(cut(*model, word).size() == 60 && (cut(*model, word)[1] == Token{6, 1, 4}));
}
CASE("canary: merging the rightmost of equals first is wrong") { CHECK(wrong_words(false, true) > 20); }

CASE("BPE: the memory of words gives what it was given") {
  const Drawn drawn(3, 40);
  const auto model = model_of(drawn.json());
  Work work;
  Draw draw(9);
  int wrong = 0;
  for (int i = 0; i < 30000; ++i) {
    const std::string word = drawn_word(draw, 1 + draw.below(i % 50 == 0 ? 60 : 8));
    std::vector<Token> out{{7, 7, 7}};
    model->encode(word, work, out);
    wrong += out.front() != Token{7, 7, 7};
    out.erase(out.begin());
    wrong += i % 7 == 0 && out != drawn.slow(word);
  }
  CHECK(wrong == 0);
}

CASE("the memory keeps kinds, lengths and texts apart, and nothing that does not fit") {
  WordMemory memory;
  const std::vector<Token> one{{5, 0, 1}}, nine(9, {1, 0, 1}), far{{1, 0, 300}};
  std::vector<Token> out;
  const auto kept = [&](std::string_view word, WordMemory::Kind kind) {
    out.clear();
    return memory.entry(word, kind)->append_to(out);
  };
  memory.entry("a", WordMemory::plain)->keep("a", WordMemory::plain, one.data(), 1);
  CHECK(kept("a", WordMemory::plain) && out == one);
  CHECK(!kept("a", WordMemory::bytes) && !kept("b", WordMemory::plain) && !kept("aa", WordMemory::plain) && !kept("", WordMemory::plain));
  memory.entry("nine", WordMemory::plain)->keep("nine", WordMemory::plain, nine.data(), 9);
  memory.entry("far", WordMemory::plain)->keep("far", WordMemory::plain, far.data(), 1);
  CHECK(!kept("nine", WordMemory::plain) && !kept("far", WordMemory::plain));
  CHECK(memory.entry(std::string(38, 'x'), WordMemory::plain) != nullptr &&
        memory.entry(std::string(39, 'x'), WordMemory::plain) == nullptr);
}

CASE("BPE: unknown characters") {
  const std::string vocab = R"("vocab":{"<unk>":0,"a":1,"b":2,"ab":3},"merges":["a b"])";
  const auto with = [&](const std::string& more) { return model_of("{\"type\":\"BPE\"," + more + vocab + "}"); };
  CHECK(cut(*with(R"("unk_token":"<unk>",)"), "abxyab") == (std::vector<Token>{{3, 0, 2}, {0, 2, 3}, {0, 3, 4}, {3, 4, 6}}));
  CHECK(cut(*with(R"("unk_token":"<unk>","fuse_unk":true,)"), "abxyab") == (std::vector<Token>{{3, 0, 2}, {0, 2, 4}, {3, 4, 6}}));
  // What is left out does not count: the reference's offsets go on as if it were not there, and neighbours merge across it.
  CHECK(cut(*with(""), "axb") == (std::vector<Token>{{3, 0, 2}}));
  CHECK_THROWS(cut(*with(R"("unk_token":"<none>",)"), "x"), E_TOKENIZER);
  CHECK(cut(*with(R"("unk_token":"<none>",)"), "ab").size() == 1);
  // Long words: runs of unknown characters stay one, also where a word is cut.
  const auto fused = with(R"("unk_token":"<unk>","fuse_unk":true,)");
  std::string word;
  for (int i = 0; i < 40; ++i) word += i % 3 == 0 ? "xxx" : "ab";
  const auto before = cut(*fused, word);
  fused->expect_long_words();
  CHECK(cut(*fused, word) == before && before.size() == 40);
  const auto dropping = with("");
  const auto dropped = cut(*dropping, word);
  dropping->expect_long_words();
  CHECK(cut(*dropping, word) == dropped && dropped.back().end < word.size());
}

CASE("BPE: bytes, prefixes, suffixes, words before merges") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += format_text(",\"<0x%02X>\":%d", i, i + 10);
  const auto fallback =
      model_of("{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"a\":1" + bytes + "},\"merges\":[]}");
  CHECK(cut(*fallback, "aé") == (std::vector<Token>{{1, 0, 1}, {10 + 0xC3, 1, 2}, {10 + 0xA9, 2, 3}}));
  const auto suffixed =
      model_of(R"({"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":0,"b</w>":1,"ab</w>":2,"a</w>":3},"merges":["a b</w>"]})");
  CHECK(cut(*suffixed, "ab") == (std::vector<Token>{{2, 0, 2}}) && cut(*suffixed, "a") == (std::vector<Token>{{3, 0, 1}}));
  const auto prefixed = model_of(R"({"type":"BPE","continuing_subword_prefix":"##","vocab":{"a":0,"##b":1,"ab":2},"merges":["a ##b"]})");
  CHECK(cut(*prefixed, "ab") == (std::vector<Token>{{2, 0, 2}}));
  const auto whole = model_of(R"({"type":"BPE","ignore_merges":true,"vocab":{"a":0,"b":1,"aba":2,"ab":3},"merges":["a b"]})");
  CHECK(cut(*whole, "aba") == (std::vector<Token>{{2, 0, 3}}) && cut(*whole, "abab") == (std::vector<Token>{{3, 0, 2}, {3, 2, 4}}));
}

CASE("Unigram: the best sum of scores, the first of equals, unknown characters together") {
  const auto model = model_of(R"({"type":"Unigram","unk_id":0,"vocab":[["<u>",0],["a",-1],["b",-1.5],["ab",-2],["ba",-1],["aba",-3.5]]})");
  // ab+a = -3, a+ba = -2, aba = -3.5
  CHECK(cut(*model, "aba") == (std::vector<Token>{{1, 0, 1}, {4, 1, 3}}));
  CHECK(cut(*model, "aéxb") == (std::vector<Token>{{1, 0, 1}, {0, 1, 4}, {2, 4, 5}}));
  // Of equals, the way that was found first: from the left, shorter pieces first.
  const auto equal = model_of(R"({"type":"Unigram","unk_id":0,"vocab":[["<u>",0],["a",-1],["aa",-2],["aaa",-3]]})");
  CHECK(cut(*equal, "aaa") == (std::vector<Token>{{3, 0, 3}}));
  // An unknown character costs 10 more than the worst piece: a way over it is taken where the others are worse still.
  const auto costly = model_of(R"({"type":"Unigram","unk_id":0,"vocab":[["<u>",0],["ab",-15],["c",-8],["bc",-1]]})");
  CHECK(cut(*costly, "abc") == (std::vector<Token>{{1, 0, 2}, {2, 2, 3}}));
  const auto worth = model_of(R"({"type":"Unigram","unk_id":0,"vocab":[["<u>",0],["ab",-30],["c",-30],["bc",-1]]})");
  CHECK(cut(*worth, "abc") == (std::vector<Token>{{0, 0, 1}, {3, 1, 3}}));
  const auto none = model_of(R"({"type":"Unigram","unk_id":null,"vocab":[["a",-1]]})");
  CHECK(cut(*none, "aa").size() == 2);
  CHECK_THROWS(cut(*none, "ab"), E_TOKENIZER);
}

/// By the standard's shortest decimal: its digits as a whole number over a power of ten.
double score_by_text(double nearest) {
  char text[40];
  const char* end = std::to_chars(text, text + sizeof text, std::fabs(nearest), std::chars_format::scientific).ptr;
  const std::string decimal(text, static_cast<size_t>(end - text));
  const size_t e = decimal.find('e');
  uint64_t digits = 0;
  for (const char c : decimal.substr(0, e))
    if (c != '.') digits = digits * 10 + static_cast<uint64_t>(c - '0');
  const int exponent = std::atoi(decimal.c_str() + e + 1) - static_cast<int>(e < 2 ? 0 : e - 2);
  if (exponent < -22 || exponent > 0) return nearest;
  double power = 1;
  for (int i = 0; i > exponent; --i) power *= 10;
  return std::copysign(static_cast<double>(digits) / power, nearest);
}

CASE("Unigram: scores are read as the reference reads them") {
  CHECK(score_of(-9.8773345947265625) == score_by_text(-9.8773345947265625));  // two decimals of 16 digits are as near
  size_t wrong = 0, twice_rounded = 0;
  Draw draw(7);
  const auto uniform = [&draw] { return (draw.below(1u << 30) + draw.below(1u << 23) * 0x1p-23) * 0x1p-30; };
  const auto check = [&](double nearest) {
    wrong += !(score_of(nearest) == score_by_text(nearest));
    twice_rounded += score_of(nearest) != nearest;
  };
  for (int i = 0; i < 40000; ++i) {
    check(-20 * uniform());                                                     // of 15 to 17 digits
    check(-static_cast<float>(15 * uniform()));                                 // single precision, exact ties among them
    check(-std::round(1e6 * uniform()) / 1e4);                                  // few digits
    check(std::ldexp(1 + uniform(), static_cast<int>(draw.below(150)) - 100));  // up to where the digits are a whole number
    check(-std::ldexp(1.0, static_cast<int>(draw.below(200)) - 140));           // neighbours at two distances
  }
  check(0), check(-0.0);
  CHECK(wrong == 0);
  CHECK(twice_rounded > 10000);
}

CASE("Unigram: random vocabularies beside all ways to cut") {
  int wrong = 0, tried = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Draw draw(seed);
    std::map<std::string, double> scores{{"a", -3}, {"b", -3}, {"c", -3}};
    for (int i = 0; i < 12; ++i) {
      std::string piece;
      for (uint32_t n = 2 + draw.below(3); n > 0; --n) piece += static_cast<char>('a' + draw.below(3));
      scores[piece] = -static_cast<double>(draw.below(64)) / 8 - static_cast<double>(seed % 7) / 1000 * static_cast<double>(piece.size());
    }
    std::string json = R"({"type":"Unigram","unk_id":0,"vocab":[["<u>",0])";
    for (const auto& [piece, score] : scores) json += format_text(",[\"%s\",%.17g]", piece.c_str(), score);
    const auto model = model_of(json + "]}");
    for (int i = 0; i < 5; ++i) {
      std::string word;
      for (uint32_t n = 1 + draw.below(9); n > 0; --n) word += static_cast<char>('a' + draw.below(3));
      const std::function<double(size_t)> best = [&](size_t at) -> double {
        if (at == word.size()) return 0.0;
        double most = -std::numeric_limits<double>::infinity();
        for (const auto& [piece, score] : scores)
          if (word.compare(at, piece.size(), piece) == 0) most = std::max(most, score + best(at + piece.size()));
        return most;
      };
      double sum = 0;
      for (const Token& token : cut(*model, word)) sum += scores.at(word.substr(token.begin, token.end - token.begin));
      wrong += !(std::abs(sum - best(0)) <= 1e-12);  // sums of up to 9 numbers of size 8
      ++tried;
    }
  }
  CHECK(tried == 300 && wrong == 0);
}

CASE("WordPiece and WordLevel") {
  const auto piece = model_of(
      R"({"type":"WordPiece","unk_token":"?","continuing_subword_prefix":"##","max_input_chars_per_word":5,"vocab":{"?":0,"ab":1,"a":2,"##b":3,"##bc":4,"##":5}})");
  CHECK(cut(*piece, "abbc") == (std::vector<Token>{{1, 0, 2}, {4, 2, 4}}));
  CHECK(cut(*piece, "abx") == (std::vector<Token>{{0, 0, 3}}) && cut(*piece, "abbbbb") == (std::vector<Token>{{0, 0, 6}}));
  CHECK(cut(*piece, "éééééé") == (std::vector<Token>{{0, 0, 12}}));
  const auto level = model_of(R"({"type":"WordLevel","unk_token":"?","vocab":{"?":0,"ab":7}})");
  CHECK(cut(*level, "ab") == (std::vector<Token>{{7, 0, 2}}) && cut(*level, "a") == (std::vector<Token>{{0, 0, 1}}));
  CHECK_THROWS(cut(*model_of(R"({"type":"WordLevel","unk_token":"?","vocab":{"ab":7}})"), "a"), E_TOKENIZER);
}

CASE("vocabulary and trie beside std::map") {
  Draw draw(5);
  Vocabulary vocabulary;
  std::map<std::string, uint32_t> want;
  std::vector<std::pair<std::string_view, uint32_t>> list;
  for (uint32_t id = 0; id < 5000; ++id) {
    std::string text;
    for (uint32_t n = draw.below(7); n > 0; --n) text += static_cast<char>(draw.below(id % 3 == 0 ? 256 : 4));
    CHECK(vocabulary.add(text, id * 3));
    want[text] = id * 3;
  }
  CHECK(!vocabulary.add("new", 0) && vocabulary.size() == want.size() && vocabulary.end() == 4999 * 3 + 1);
  for (const auto& [text, id] : want) list.emplace_back(text, id);
  const Trie trie(list);
  int wrong = 0;
  for (const auto& [text, id] : want) {
    wrong += vocabulary.find(text) != id || vocabulary.text(id) != text;
    const uint32_t node = trie.walk(Trie::root, text);
    wrong += node == Trie::none || (!text.empty() && trie.value(node) != id);
    const std::string other = text + "!";
    wrong += vocabulary.find(other) != (want.contains(other) ? want.at(other) : no_token);
    const uint32_t further = trie.walk(Trie::root, other);
    wrong += (further == Trie::none || trie.value(further) == no_token) == want.contains(other);
  }
  CHECK(wrong == 0);
  CHECK(Vocabulary().find("a") == no_token && Trie().empty());
}

TEST_MAIN()
