// Normalizers: texts and alignments equal to those of Hugging Face tokenizers, hostile configurations refused.
#include <string>
#include <vector>

#include "base/philox.h"
#include "golden_json.h"
#include "harness.h"
#include "tokenizer/normalizers.h"
#include "unicode/utf8.h"

using namespace fedlora;
using tokenizer::AlignedText;
using tokenizer::make_normalizer;
using tokenizer::Span;

namespace {
AlignedText normalized(const tokenizer::Normalizer& normalizer, const std::string& text, uint32_t start = 0) {
  AlignedText out{text, {}, start};
  normalizer.apply(out);
  CHECK(out.origin.empty() || out.origin.size() == out.text.size());
  CHECK(unicode::is_valid(out.text));
  if (out.origin.empty()) CHECK(out.text == text || out.text.empty());
  return out;
}

/// The text and the bytes of the source that each character comes from, as the golden's check sums take them.
std::string written(AlignedText text) {
  text.write_origin();
  std::string out = text.text + "\n";
  for (size_t at = 0; at < text.text.size();) {
    const Span span = text.origin[at];
    if (at > 0) out += ",";
    out += std::to_string(span.begin) + "-" + std::to_string(span.end);
    const size_t begin = at;
    unicode::decode(text.text, at);
    for (size_t i = begin; i < at; ++i) CHECK(text.origin[i] == span);
  }
  return out;
}

std::unique_ptr<tokenizer::Normalizer> make(const std::string& json) { return make_normalizer(parse_json(json, "test")); }

/// Text-normalizer pairs that differ from the golden.
size_t differences(bool canary) {
  const Json golden = golden_json("tokenizers/normalizers.json");
  const auto& texts = golden.find("texts")->as_array("texts");
  size_t wrong = 0, compared = 0;
  for (const Json& test : golden.find("cases")->as_array("cases")) {
    const auto normalizer = make_normalizer(*test.find("normalizer"));
    for (size_t i = 0; i < texts.size(); ++i) {
      const Json& want = test.find("checks")->as_array("checks")[i];
      if (want.is(Json::Kind::null)) continue;
      ++compared;
      AlignedText got = normalized(*normalizer, texts[i].as_string("text"));
      if (canary && !got.text.empty()) {
        got.write_origin();
        for (Span& span : got.origin) ++span.end;
      }
      if (crc32(written(got)) == static_cast<uint32_t>(want.as_int64("check"))) continue;
      ++wrong;
      if (!canary) {
        harness::report(__FILE__, __LINE__,
                        "normalizer " + std::to_string(&test - golden.find("cases")->as_array("").data()) + " on text " +
                            std::to_string(i) + ": " + written(got).substr(0, 200));
      }
    }
  }
  CHECK(compared > 5000);
  return wrong;
}
}  // namespace

CASE("texts and alignments as the reference has them") { CHECK(differences(false) == 0); }

CASE("canary: spans that end one byte later are called wrong") { CHECK(differences(true) > 4000); }

CASE("a section that begins within its source keeps its place") {
  const AlignedText text = normalized(*make(R"({"type":"Lowercase"})"), "A\xc3\x89", 10);
  CHECK(text.text == "a\xc3\xa9");
  CHECK((text.origin == std::vector<Span>{{10, 11}, {11, 13}, {11, 13}}));
  AlignedText plain = normalized(*make(R"({"type":"NFC"})"), "plain", 7);
  CHECK(plain.is_source() && plain.start == 7);
}

CASE("null is no normalizer; what is wrong is refused with its place") {
  CHECK(make("null") == nullptr);
  const auto refused = [](const std::string& json, const std::string& because) {
    try {
      make(json);
      return false;
    } catch (const Error& error) {
      if (error.code() == Code::E_TOKENIZER && std::string(error.what()).find(because) != std::string::npos) return true;
      harness::report(__FILE__, __LINE__, error.what());
      return false;
    }
  };
  CHECK(refused(R"({"type":"Foo"})", "\"Foo\" is not supported"));
  CHECK(refused(R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Bar"}]})", "normalizers[1]"));
  for (const char* json :
       {"1",
        "[]",
        "\"NFC\"",
        "true",
        "{}",
        R"({"type":1})",
        R"({"type":null})",
        R"({"type":"Sequence"})",
        R"({"type":"Sequence","normalizers":{}})",
        R"({"type":"Strip"})",
        R"({"type":"Strip","strip_left":1,"strip_right":true})",
        R"({"type":"Prepend"})",
        R"({"type":"Prepend","prepend":3})",
        R"({"type":"Replace","content":""})",
        R"({"type":"Replace","pattern":"a","content":""})",
        R"({"type":"Replace","pattern":{},"content":""})",
        R"({"type":"Replace","pattern":{"Regex":"("},"content":""})",
        R"({"type":"Replace","pattern":{"String":"a"}})",
        R"({"type":"BertNormalizer"})",
        R"({"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":"x","lowercase":true})",
        R"({"type":"Precompiled"})",
        R"({"type":"Precompiled","precompiled_charsmap":"!"})",
        R"({"type":"Precompiled","precompiled_charsmap":""})",
        R"({"type":"Precompiled","precompiled_charsmap":"AAAA"})",
        R"({"type":"Precompiled","precompiled_charsmap":"/////w=="})"}) {
    CHECK_THROWS(make(json), E_TOKENIZER);
  }
}

CASE("damaged character maps are refused or stay within their bytes") {
  const Json golden = golden_json("tokenizers/normalizers.json");
  std::string charsmap;
  for (const Json& test : golden.find("cases")->as_array("cases")) {
    const Json* found = test.find("normalizer")->find("precompiled_charsmap");
    if (found != nullptr) charsmap = found->as_string("charsmap");
  }
  CHECK(charsmap.size() > 1000);
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const Philox draw{9, 0};
  size_t loaded = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    const auto words = draw(round);
    std::string changed = charsmap.substr(0, round % 3 == 0 ? words[3] % charsmap.size() / 4 * 4 : std::string::npos);
    for (uint32_t i = 0; i < 3 && !changed.empty(); ++i)
      changed[words[i] % std::min<size_t>(changed.size(), 400 << (4 * i))] = digits[words[3] >> (6 * i) & 63];
    try {
      const auto normalizer = make(R"({"type":"Precompiled","precompiled_charsmap":")" + changed + "\"}");
      ++loaded;
      normalized(*normalizer, "A\xc3\xa9 e\xcc\x81\t\xe4\xb8\xad \xef\xac\x81 \xc2\xbd\xe2\x80\xa6 \xc2\xa9");
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_TOKENIZER);
    }
  }
  CHECK(loaded > 50);
}

TEST_MAIN()
