// Characters, their properties and normal forms, against check sums of what Hugging Face tokenizers makes of every code point.
#include <algorithm>
#include <string>
#include <vector>

#include "golden_json.h"
#include "harness.h"
#include "unicode/case.h"
#include "unicode/code_set.h"
#include "unicode/graphemes.h"
#include "unicode/normalize.h"
#include "unicode/properties.h"
#include "unicode/utf8.h"

using namespace fedlora;
using namespace fedlora::unicode;

namespace {
template <typename Each>
void for_every_code(Each each) {
  for (char32_t code = 0; code <= last_code; ++code) {
    if (code < 0xD800 || code > 0xDFFF) each(code);
  }
}

std::string text_of(char32_t code) {
  std::string out;
  append(out, code);
  return out;
}

std::string in_form(const std::string& text, Form form) {
  std::string out;
  for (const Change& change : normalize(text, form)) append(out, change.code);
  return out;
}

template <typename Test>
uint32_t flags(Test test) {
  std::string out;
  for_every_code([&](char32_t code) { out.push_back(test(code) ? '1' : '0'); });
  return crc32(out);
}

uint32_t golden_number(const Json& golden, const char* key) { return static_cast<uint32_t>(golden.find(key)->as_int64(key)); }

const std::vector<std::pair<const char*, Form>> forms = {
    {"NFC", Form::nfc}, {"NFD", Form::nfd}, {"NFKC", Form::nfkc}, {"NFKD", Form::nfkd}};
}  // namespace

CASE("UTF-8: every code point there and back, both ways") {
  std::string all;
  for_every_code([&](char32_t code) { append(all, code); });
  CHECK(is_valid(all));
  size_t at = 0, wrong = 0;
  for_every_code([&](char32_t code) {
    size_t back = at + length_of(code);
    wrong += length_of(all[at]) != length_of(code) || decode(all, at) != code || decode_before(all, back) != code;
  });
  CHECK(wrong == 0 && at == all.size());
}

CASE("UTF-8: what is malformed is called so") {
  const std::vector<std::string> bad = {
      "\x80", "\xc3",      "\xc0\x80", "\xe0\x80\x80",    "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
      "\xff", "a\xe4\xb8", "\xc3(",    "\xf0\x8f\xbf\xbf"};
  for (const std::string& text : bad) CHECK(!is_valid(text));
}

CASE("sets: united, inverted, intersected as bits would be") {
  CodeSet a, b;
  for (const auto& [first, last] :
       std::vector<std::pair<char32_t, char32_t>>{{5, 9}, {20, 30}, {10, 10}, {28, 300}, {0x10FF00, last_code}, {0, 0}})
    a.add(first, last);
  for (const auto& [first, last] : std::vector<std::pair<char32_t, char32_t>>{{8, 21}, {301, 400}, {0, 3}}) b.add(first, last);
  CHECK(a.ranges().size() == 4);  // 0, 5–10, 20–300 and the end
  CodeSet both = a;
  both.add(b);
  const CodeSet none = a.inverted(), shared = a.intersected(b);
  const CodeTable table(a);
  size_t wrong = 0;
  for (char32_t code = 0; code <= last_code; ++code) {
    const bool in_a = a.contains(code), in_b = b.contains(code);
    wrong += table.contains(code) != in_a || both.contains(code) != (in_a || in_b) || none.contains(code) == in_a ||
             shared.contains(code) != (in_a && in_b);
  }
  CHECK(wrong == 0);
  CHECK(a.inverted().inverted() == a && CodeSet().inverted() == CodeSet(0, last_code));
}

CASE("normal forms of every code point") {
  const Json golden = golden_json("tokenizers/unicode.json");
  for (const auto& [name, form] : forms) {
    std::string all;
    for_every_code([&](char32_t code) {
      if (code > 0) all.push_back('\n');
      all += in_form(text_of(code), form);
    });
    CHECK(crc32(all) == golden_number(*golden.find("forms"), name));
  }
}

CASE("normal forms of characters under random marks; canary: another form") {
  const Json golden = golden_json("tokenizers/unicode.json");
  for (const auto& [name, form] : forms) {
    std::string all, canary;
    for (const Json& sequence : golden.find("sequences")->as_array("sequences")) {
      if (!all.empty()) all.push_back('\n');
      all += in_form(sequence.as_string(""), form);
      canary += in_form(sequence.as_string(""), form == Form::nfc ? Form::nfd : Form::nfc);
    }
    CHECK(crc32(all) == golden_number(*golden.find("sequence_forms"), name));
    CHECK(crc32(canary) != golden_number(*golden.find("sequence_forms"), name));
  }
}

CASE("what is surely in a form does not change in it, beside any neighbour") {
  const Json golden = golden_json("tokenizers/unicode.json");
  size_t sure = 0;
  for (const auto& [name, form] : forms) {
    for_every_code([&](char32_t code) {
      const std::string text = text_of(code);
      if (!is_surely(text, form)) return;
      ++sure;
      CHECK(in_form(text, form) == text && in_form("a" + text + "b", form) == "a" + text + "b");
    });
    for (const Json& sequence : golden.find("sequences")->as_array("sequences")) {
      const std::string& text = sequence.as_string("");
      if (is_surely(text, form)) CHECK(in_form(text, form) == text);
      for (const Change& change : normalize("plain", form)) CHECK(change.change == 0);
    }
  }
  CHECK(sure > 4'000'000);
}

CASE("properties and lower case of every code point") {
  const Json golden = golden_json("tokenizers/unicode.json");
  CHECK(flags(is_white_space) == golden_number(golden, "white_space"));
  CHECK(flags(is_numeric) == golden_number(golden, "numeric"));
  CHECK(flags(is_word) == golden_number(golden, "word"));
  CHECK(flags(is_bert_control) == golden_number(golden, "bert_control"));
  CHECK(flags(is_combining_mark) == golden_number(golden, "combining_mark"));
  CHECK(flags(is_nonspacing_mark) != golden_number(golden, "combining_mark"));  // canary
  std::string all;
  for_every_code([&](char32_t code) {
    if (code > 0) all.push_back('\n');
    const Lowered lower = to_lower(code);
    append(all, lower.first);
    if (lower.second != 0) append(all, lower.second);
  });
  CHECK(crc32(all) == golden_number(golden, "lower"));
}

CASE("categories agree with the sets of their names; names fold") {
  for (const auto& [name, first, last] :
       std::vector<std::tuple<const char*, General, General>>{{"L", General::Lu, General::Lo},
                                                              {"uppercase letter", General::Lu, General::Lu},
                                                              {"M", General::Mn, General::Me},
                                                              {"Cn", General::Cn, General::Cn}}) {
    const CodeSet set = *named_set(name);
    size_t wrong = 0;
    for_every_code([&](char32_t code) { wrong += set.contains(code) != (category(code) >= first && category(code) <= last); });
    CHECK(wrong == 0);
  }
  CHECK(*named_set("Han") == *named_set("hani") && *named_set("White_Space") == *named_set("white-space"));
  CHECK(named_set("Han")->contains(0x4E2D) && !named_set("Hiragana")->contains(0x4E2D));
  CHECK(!named_set("") && !named_set("Hann") && !named_set("In_Thai"));
}

CASE("grapheme clusters") {
  const auto lengths = [](const std::string& text) {
    std::vector<size_t> out;
    for (size_t at = 0; at < text.size();) {
      const size_t end = cluster_end(text, at);
      out.push_back(end - at);
      at = end;
    }
    return out;
  };
  CHECK((lengths("ab") == std::vector<size_t>{1, 1}));
  CHECK((lengths("e\xcc\x81x") == std::vector<size_t>{3, 1}));
  CHECK((lengths("\r\n\n\r") == std::vector<size_t>{2, 1, 1}));
  CHECK((lengths("\n\xcc\x81") == std::vector<size_t>{1, 2}));
  CHECK((lengths("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8") == std::vector<size_t>{9}));  // Hangul L V T
  CHECK((lengths("\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9") == std::vector<size_t>{11}));
  CHECK((lengths("a\xe2\x80\x8d\xf0\x9f\x91\xa9") == std::vector<size_t>{4, 4}));
  CHECK((lengths("\xd8\x80z") == std::vector<size_t>{3}));  // prepended
}

TEST_MAIN()
