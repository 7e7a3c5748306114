// The regular expressions of tokenizers against what Oniguruma matches, and what must be refused.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/philox.h"
#include "harness.h"
#include "io/json.h"
#include "regex/regex.h"

using namespace fedlora;
using regex::Regex;

namespace {
/// begin, end, begin, end … of the matches that are not empty.
std::vector<int64_t> matches(const Regex& regex, const std::string& text) {
  std::vector<int64_t> out;
  regex.find_all(text, [&](size_t begin, size_t end) {
    if (begin < end) out.insert(out.end(), {static_cast<int64_t>(begin), static_cast<int64_t>(end)});
  });
  return out;
}

Json golden() {
  std::ifstream file(std::string(FEDLORA_GOLDEN) + "/tokenizers/regex.json");
  return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "regex.json");
}

/// Of `expected`, how many pattern-text pairs differ.
size_t differences(const Json& expected, bool canary) {
  size_t wrong = 0;
  const auto& texts = expected.find("texts")->as_array("texts");
  for (const Json& test : expected.find("cases")->as_array("cases")) {
    const std::string& pattern = test.find("pattern")->as_string("pattern");
    const Regex regex(pattern);
    for (size_t i = 0; i < texts.size(); ++i) {
      std::vector<int64_t> want;
      for (const Json& place : test.find("matches")->as_array("matches")[i].as_array("row")) want.push_back(place.as_int64("place"));
      if (canary && !want.empty()) ++want.back();
      if (matches(regex, texts[i].as_string("text")) == want) continue;
      ++wrong;
      if (!canary) harness::report(__FILE__, __LINE__, "pattern " + pattern + " on text " + std::to_string(i));
    }
  }
  return wrong;
}

bool refused(const std::string& pattern, const std::string& because) {
  try {
    Regex compiled(pattern);
    return false;
  } catch (const Error& error) {
    if (error.code() == Code::E_TOKENIZER && std::string(error.what()).find(because) != std::string::npos) return true;
    harness::report(__FILE__, __LINE__, error.what());
    return false;
  }
}

std::string repeated(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}
}  // namespace

CASE("every pattern matches where Oniguruma does") { CHECK(differences(golden(), false) == 0); }

CASE("canary: a match that is one byte longer is called wrong") { CHECK(differences(golden(), true) > 300); }

CASE("empty matches: once a place, not where the last match ended") {
  std::vector<size_t> places;
  Regex("x*").find_all("axxb", [&](size_t begin, size_t end) { places.insert(places.end(), {begin, end}); });
  CHECK((places == std::vector<size_t>{0, 0, 1, 3, 4, 4}));
  places.clear();
  Regex("").find_all("\xc3\xa9", [&](size_t begin, size_t end) { places.insert(places.end(), {begin, end}); });
  CHECK((places == std::vector<size_t>{0, 0, 2, 2}));
}

CASE("a search from the middle sees what stands before it") {
  size_t begin = 0, end = 0;
  CHECK(Regex("(?<=a)b").find("ab", 1, begin, end) && begin == 1 && end == 2);
  CHECK(!Regex("^b").find("ab", 1, begin, end));
  CHECK(!Regex("\\Ab").find("ab", 1, begin, end));
  CHECK(Regex("\\Gb").find("ab", 1, begin, end) && begin == 1);
  CHECK(!Regex("a").find("ab", 1, begin, end));
}

CASE("what is not supported is refused by its name") {
  const std::vector<std::pair<const char*, const char*>> patterns = {{"(a)\\1", "back reference, at byte 3"},
                                                                     {"(?<n>a)\\k<n>", "back reference"},
                                                                     {"(?<n>a)\\g<n>", "call of a group"},
                                                                     {"(?(1)a|b)", "condition"},
                                                                     {"(?~ab)", "absent function"},
                                                                     {"a\\K", "\\K, at byte 1"},
                                                                     {"\\X", "\\X"},
                                                                     {"(?s:.)", "option s"},
                                                                     {"(?W:a)", "option W"},
                                                                     {"(?P<n>a)", "option P"},
                                                                     {"(*FAIL)", "callout"},
                                                                     {"\\p{Foo}", "property \"Foo\""},
                                                                     {"[[:foo:]]", "property \"foo\""},
                                                                     {"\\xC3\\xA9", "beyond ASCII"},
                                                                     {"\\x{110000}", "beyond U+10FFFF"},
                                                                     {"\\x{d800}", "surrogate"},
                                                                     {"[a-\\d]", "range to a class"},
                                                                     {"[\\d-a]", "range from a class"},
                                                                     {"[z-a]", "greater to a smaller"},
                                                                     {"[a", "not closed"},
                                                                     {"[]", "empty class"},
                                                                     {"(a", "not closed"},
                                                                     {"a)", "without an opening one"},
                                                                     {"*a", "nothing before it"},
                                                                     {"{1}", "nothing before it"},
                                                                     {"(?=a)*", "repeated look-around"},
                                                                     {"\\", "ends too early"},
                                                                     {"a{100001}", "a count above"}};
  for (const auto& [pattern, because] : patterns) CHECK(refused(pattern, because));
  CHECK(refused("\xff", "not UTF-8"));
}

CASE("hostile patterns are refused: nesting, size, repetitions of nothing") {
  CHECK(refused(repeated("(", 100000), "nested too deep"));
  CHECK(refused(repeated("(?:", 300) + repeated(")", 300), "nested too deep"));
  CHECK(refused(repeated("[", 300) + "a" + repeated("]", 300), "nested too deep"));
  CHECK(refused(repeated("(?i)", 300) + "a", "nested too deep"));
  CHECK(refused("a" + repeated("+*", 300), "nested too deep"));
  CHECK(refused("(?:(?:ab){1000}){1000}", "too large"));
  CHECK(refused("(?:(?:(?:){1000}){1000}){1000}", "too large"));
  CHECK(refused(std::string(200000, 'a'), "the most"));
  CHECK(refused(std::string("(?i)") + repeated("ss", 200), "too many strings"));
}

CASE("what backtracks without end is refused; long runs are linear") {
  const auto endless = [](const char* pattern, const std::string& text) {
    size_t begin = 0, end = 0;
    Regex(pattern).find(text, 0, begin, end);
  };
  CHECK_THROWS(endless("(?:a+)+b", std::string(200, 'a')), E_TOKENIZER);
  CHECK_THROWS(endless("(?:a|aa)+$(?<=b)", std::string(200, 'a')), E_TOKENIZER);
  CHECK_THROWS(endless("(?:(?:ab)*c)", repeated("ab", 20000)), E_TOKENIZER);
  CHECK_THROWS(endless("(?:\\s|.)*x", std::string(2500000, 'a')), E_TOKENIZER);
  const std::string spaces(300000, ' ');
  CHECK(matches(Regex("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"), spaces) == (std::vector<int64_t>{0, 300000}));
  CHECK(matches(Regex("\\s+(?!\\S)|\\s+|x"), spaces + "x") == (std::vector<int64_t>{0, 299999, 299999, 300000, 300000, 300001}));
}

CASE("truncated and flipped patterns never crash") {
  const std::string pattern =
      "(?i:'s|'re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{^Lu}++|[[:alpha:]&&[^a-c\\x{41}]]{1,3}?|(?<=ab|\\d)(?!\\S)|\\s+$|(?>a*)(?m:.)\\u0041|ß{2,1}";
  const std::string text = "It's ss ab1 \xc3\x9f\r\n\xe4\xb8\xad";
  const Philox draw{5, 0};
  size_t compiled = 0;
  for (uint64_t round = 0; round < 2000; ++round) {
    const auto words = draw(round);
    std::string changed = pattern.substr(words[0] % 7, 20 + words[1] % pattern.size());
    for (uint32_t i = 0; i < words[3] % 4; ++i) changed[words[2] % changed.size()] ^= static_cast<char>(1u << (words[i] >> 29));
    try {
      const Regex regex(changed);
      ++compiled;
      size_t last = 0;
      regex.find_all(text, [&](size_t begin, size_t end) {
        CHECK(begin >= last && end >= begin && end <= text.size());
        last = end;
      });
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_TOKENIZER);
    }
  }
  CHECK(compiled > 50);
}

TEST_MAIN()
