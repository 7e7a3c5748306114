// A text on its way through a tokenizer: words, sections, offsets, decoders; and tokenizer.json files that must be refused.
#include <string>
#include <vector>

#include "base/error.h"
#include "harness.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/decoders.h"
#include "tokenizer/offsets.h"
#include "tokenizer/tokenizer.h"
#include "unicode/utf8.h"

using namespace fedlora;
using namespace fedlora::tokenizer;
using Tokens = fedlora::tokenizer::Tokenizer;

namespace {

using Words = std::vector<std::string>;

Words words_of(const std::string& pre_tokenizer, const std::string& text) {
  const Json json = parse_json(pre_tokenizer, "test");
  const auto made = make_pre_tokenizer(Place(json, "pre_tokenizer"));
  Pieces pieces;
  pieces.text.text = text;
  pieces.ranges.push_back({0, static_cast<uint32_t>(text.size())});
  made->apply(pieces);
  Words out;
  for (const Range range : pieces.ranges) out.emplace_back(pieces.view(range));
  return out;
}

Words decoded(const std::string& decoder, Words texts) {
  const Json json = parse_json(decoder, "test");
  make_decoder(Place(json, "decoder"))->apply(texts);
  return texts;
}

/// A tokenizer of letters, as JSON with sections put in.
std::string file(const std::string& sections = "", const std::string& model = "") {
  return R"({"version":"1.0",)" + (sections.empty() ? "" : sections + ",") +
         (model.empty() ? R"("model":{"type":"BPE","unk_token":"?","vocab":{"?":0,"a":1,"b":2," ":3,"ab":4,"<s>":5},"merges":["a b"]})"
                        : "\"model\":" + model) +
         "}";
}

std::string ids(const Tokens& tokens, const std::string& text, EncodeOptions options = {}) {
  Work work;
  Encoding out;
  options.spans = true;
  tokens.encode(text, options, work, out);
  std::string shown;
  for (size_t i = 0; i < out.ids.size(); ++i) shown += format_text("%u[%u,%u) ", out.ids[i], out.spans[i].begin, out.spans[i].end);
  return shown;
}

/// What the refusal of a file says; empty when it is not refused by E_TOKENIZER.
std::string refusal(const std::string& json, const std::string& changes = "{}") {
  try {
    const Tokens made(json, changes);
    return "";
  } catch (const Error& error) {
    return error.code() == Code::E_TOKENIZER ? error.what() : "";
  }
}

}  // namespace

CASE("the byte-level alphabet: 256 characters, there and back") {
  std::string all, written;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  append_byte_level(written, all);
  std::string back;
  for (size_t at = 0; at < written.size();) back += static_cast<char>(byte_of_character(unicode::decode(written, at)));
  CHECK(back == all && byte_alphabet()[' '] == 0x120 && byte_alphabet()['a'] == 'a' && byte_of_character(' ') == -1 &&
        byte_of_character(0x2581) == -1);
}

CASE("GPT-2's words") {
  const auto words = [](const std::string& text) {
    Words out;
    for_each_word(text, [&](size_t begin, size_t end) { out.push_back(text.substr(begin, end - begin)); });
    return out;
  };
  CHECK(words("I'll  don't\n\n x1²!? ") == (Words{"I", "'ll", " ", " don", "'t", "\n\n", " x", "1²", "!?", " "}));
  CHECK(words(" 's'S '") == (Words{" '", "s", "'", "S", " '"}));
  CHECK(words("a\u3000\u3000b") == (Words{"a", "\u3000", "\u3000", "b"}) && words("   ") == (Words{"   "}));
}

CASE("words of each pre-tokenizer") {
  CHECK(words_of(R"({"type":"Whitespace"})", "a_1 b!? é") == (Words{"a_1", "b", "!?", "é"}));
  CHECK(words_of(R"({"type":"WhitespaceSplit"})", " a!\u00a0b ") == (Words{"a!", "b"}));
  CHECK(words_of(R"({"type":"BertPreTokenizer"})", "a! b") == (Words{"a", "!", "b"}));
  CHECK(words_of(R"({"type":"Digits","individual_digits":true})", "a12b") == (Words{"a", "1", "2", "b"}));
  CHECK(words_of(R"({"type":"Digits","individual_digits":false})", "12b3") == (Words{"12", "b", "3"}));
  CHECK(words_of(R"({"type":"CharDelimiterSplit","delimiter":"é"})", "aébéé") == (Words{"a", "b"}));
  CHECK(words_of(R"({"type":"FixedLength","length":2})", "aébcd") == (Words{"aé", "bc", "d"}));
  CHECK(words_of(R"({"type":"Metaspace","replacement":"▁"})", "a b") == (Words{"▁a", "▁b"}));
  CHECK(words_of(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false})", "a b") == (Words{"a▁b"}));
  const auto split = [](const char* behavior) {
    return std::string(R"({"type":"Split","pattern":{"String":"-"},"invert":false,"behavior":")") + behavior + "\"}";
  };
  const std::string text = "the-final--countdown";
  CHECK(words_of(split("Removed"), text) == (Words{"the", "final", "countdown"}));
  CHECK(words_of(split("Isolated"), text) == (Words{"the", "-", "final", "-", "-", "countdown"}));
  CHECK(words_of(split("MergedWithPrevious"), text) == (Words{"the-", "final-", "-", "countdown"}));
  CHECK(words_of(split("MergedWithNext"), text) == (Words{"the", "-final", "-", "-countdown"}));
  CHECK(words_of(split("Contiguous"), text) == (Words{"the", "-", "final", "--", "countdown"}));
}

CASE("added tokens: the leftmost, then the longest; words; white space; normalised forms") {
  const auto tokens = [](const std::string& list) { return Tokens(file("\"added_tokens\":[" + list + "]"), "{}"); };
  const Tokens nested = tokens(R"({"content":"ab"},{"content":"abb"},{"content":"bb"})");
  CHECK(ids(nested, "abbab") == "6[0,3) 4[3,5) " && ids(nested, "babb") == "2[0,1) 6[1,4) " && ids(nested, "bb") == "7[0,2) ");
  const Tokens words = tokens(R"({"content":"b","single_word":true})");
  CHECK(ids(words, "b ab b") == "2[0,1) 3[1,2) 4[2,4) 3[4,5) 2[5,6) ");
  const Tokens strip = tokens(R"({"content":"<s>","lstrip":true,"rstrip":true})");
  CHECK(ids(strip, "a  <s> <s>b") == "1[0,1) 5[1,7) 5[7,10) 2[10,11) ");
  const Tokens formed(
      file(R"("normalizer":{"type":"Replace","pattern":{"String":"b"},"content":"a"},"added_tokens":[{"content":"bb","normalized":true}])"),
      "{}");
  CHECK(ids(formed, "xaax") == "0[0,1) 6[1,3) 0[3,4) ");
  CHECK(formed.decode(std::vector<uint32_t>{6}, false) == "aa");
  const Tokens again(file(R"("added_tokens":[{"content":"<s>","special":true}])"),
                     R"({"added_tokens":[[{"content":"<s>","special":false,"unless_added":true},{"content":"new","special":true}]]})");
  CHECK(again.special_tokens() == (std::vector<uint32_t>{5, 6}) && again.find("new") == 6 && again.end() == 7);
  CHECK(again.decode(std::vector<uint32_t>{1, 5, 6}, true) == "a");
  const Tokens twice(file(), R"({"added_tokens":[[{"content":"x"}],[{"content":"y"},{"content":"z"}]]})");
  CHECK(twice.find("x") == 6 && twice.find("y") == 7 && twice.find("z") == 8);
}

CASE("special tokens around a text, and changes") {
  const std::string single =
      R"("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}})";
  const Tokens made(file(single), "{}");
  CHECK(ids(made, "b") == "5[0,0) 2[0,1) " && ids(made, "b", {false}) == "2[0,1) " && made.prefix() == std::vector<uint32_t>{5} &&
        made.suffix().empty());
  const Tokens around(file(single),
                      R"({"around":{"prefix":[],"suffix":["<s>","a"]},"model":{"unk_token":"b"},"sections":{"decoder":{"type":"Fuse"}}})");
  CHECK(ids(around, "x") == "2[0,1) 5[0,0) 1[0,0) " && around.decode(std::vector<uint32_t>{1, 2}, false) == "ab" &&
        made.decode(std::vector<uint32_t>{1, 2}, false) == "a b");
  CHECK(refusal(file(), R"({"around":{"prefix":["none"],"suffix":[]}})").find("\"none\"") != std::string::npos);
}

CASE("continuations take no dummy prefix where they begin, and only there") {
  const Tokens made(file(R"("normalizer":{"type":"Prepend","prepend":" "},"added_tokens":[{"content":"<s>","special":true}])"), "{}");
  CHECK(ids(made, "a<s>b") == "3[0,1) 1[0,1) 5[1,4) 3[4,5) 2[4,5) ");
  CHECK(ids(made, "a<s>b", {false, true, true}) == "1[0,1) 5[1,4) 3[4,5) 2[4,5) ");
  const Tokens spaced(file(R"("pre_tokenizer":{"type":"Metaspace","replacement":" "},"added_tokens":[{"content":"<s>","special":true}])"),
                      "{}");
  CHECK(ids(spaced, "a<s>b") == "3[0,1) 1[0,1) 5[1,4) 3[4,5) 2[4,5) ");
  CHECK(ids(spaced, "a<s>b", {false, true, true}) == "1[0,1) 5[1,4) 3[4,5) 2[4,5) ");
}

CASE("offsets in UTF-16 units") {
  const std::string text = "aé😀z";
  const Utf16Offsets units(text);
  const std::vector<uint32_t> want{0, 1, 1, 2, 2, 2, 2, 4, 5, 5};
  for (uint32_t byte = 0; byte < want.size(); ++byte) CHECK(units(byte) == want[byte]);
  CHECK(Utf16Offsets("abc")(2) == 2 && Utf16Offsets("abc")(9) == 3 && Utf16Offsets("")(0) == 0);
}

CASE("each decoder") {
  CHECK(utf8_lossy("a\xF0\x9F\x98z\xC3") == "a\uFFFDz\uFFFD" && utf8_lossy("\xED\xA0\x80\xE0\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD" &&
        utf8_lossy("é") == "é");
  CHECK(decoded(R"({"type":"ByteLevel"})", {"Ġa", "Ã", "©", "▁b"}) == (Words{" aé▁b"}));
  CHECK(decoded(R"({"type":"ByteFallback"})", {"<0xC3>", "<0xA9>", "a", "<0xC3>", "<0xZZ>"}) == (Words{"é", "a", "\uFFFD", "<0xZZ>"}));
  CHECK(decoded(R"({"type":"WordPiece","prefix":"##","cleanup":true})", {"a", "##b", ".", "do", "##", "n't"}) ==
        (Words{"a", "b", ".", " do", "", "n't"}));
  CHECK(decoded(R"({"type":"Metaspace","replacement":"▁"})", {"▁a▁b", "▁c"}) == (Words{"ab", " c"}));
  CHECK(decoded(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never"})", {"▁a"}) == (Words{" a"}));
  CHECK(decoded(R"({"type":"BPEDecoder","suffix":"</w>"})", {"a</w>", "b</w>"}) == (Words{"a ", "b"}));
  CHECK(decoded(R"({"type":"Strip","content":" ","start":1,"stop":2})", {"  a   ", " "}) == (Words{" a ", ""}));
  CHECK(decoded(R"({"type":"Replace","pattern":{"String":"aa"},"content":"b"})", {"aaa"}) == (Words{"ba"}));
  CHECK(decoded(R"({"type":"CTC","pad_token":"_","word_delimiter_token":"|","cleanup":true})", {"a", "a", "_", "a", "|"}) ==
        (Words{"a", "a", " "}));
  CHECK(decoded(R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"ab"},"content":"c"}]})",
                {"a", "b"}) == (Words{"c"}));
}

CASE("what is wrong with a file is refused, and its place named") {
  const auto bpe = [](const std::string& fields) { return file("", "{\"type\":\"BPE\"," + fields + "}"); };
  const auto pre = [](const std::string& part) { return file("\"pre_tokenizer\":" + part); };
  const auto post = [](const std::string& part) { return file("\"post_processor\":" + part); };
  const auto decoder = [](const std::string& part) { return file("\"decoder\":" + part); };
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  const std::vector<std::pair<std::string, std::string>> files = {
      {"", "JSON"},
      {"[]", "object"},
      {"{", "JSON"},
      {"{\"model\":NaN}", "JSON"},
      {"{\"a\":" + deep + "}", "nesting"},
      {"{}", "model"},
      {R"({"version":"2.0","model":{}})", "version"},
      {R"({"model":[]})", "model"},
      {R"({"model":{"type":"Magic"}})", "\"Magic\""},
      {bpe(R"("merges":[])"), "\"vocab\""},
      {bpe(R"("vocab":{"a":0})"), "\"merges\""},
      {bpe(R"("vocab":["a"],"merges":[])"), "model.vocab"},
      {bpe(R"("vocab":{"a":-1},"merges":[])"), "model.vocab.\"a\""},
      {bpe(R"("vocab":{"a":1.5},"merges":[])"), "model.vocab.\"a\""},
      {bpe(R"("vocab":{"a":"0"},"merges":[])"), "model.vocab.\"a\""},
      {bpe(R"("vocab":{"a":4294967297},"merges":[])"), "model.vocab.\"a\""},
      {bpe(R"("vocab":{"a":1e300},"merges":[])"), "model.vocab.\"a\""},
      {bpe(R"("vocab":{"a":1,"b":1},"merges":[])"), "\"a\" already"},
      {bpe(R"("vocab":{"a":1,"a":2},"merges":[])"), "twice"},
      {bpe("\"vocab\":{\"" + std::string(70000, 'a') + "\":1},\"merges\":[]"), "65536"},
      {bpe(R"("vocab":{"a":0},"merges":["a b"])"), "\"b\""},
      {bpe(R"("vocab":{"a":0,"b":1},"merges":["a b"])"), "\"ab\""},
      {bpe(R"("vocab":{"a":0},"merges":["a"])"), "model.merges[0]"},
      {bpe(R"("vocab":{"a":0,"aa":1},"merges":["a a",["a"]])"), "model.merges[1]"},
      {bpe(R"("vocab":{"a":0},"merges":[7])"), "model.merges[0]"},
      {bpe(R"("vocab":{"a":0},"merges":{})"), "model.merges"},
      {bpe(R"("vocab":{"a":0},"merges":[],"dropout":0.1)"), "dropout"},
      {bpe(R"("vocab":{"a":0},"merges":[],"unk_token":3)"), "model.unk_token"},
      {bpe(R"("vocab":{"a":0},"merges":["a a"],"continuing_subword_prefix":"##")"), "continuing_subword_prefix"},
      {file("", R"({"type":"Unigram","vocab":[["a",NaN]]})"), "JSON"},
      {file("", R"({"type":"Unigram","vocab":[["a",1e999]]})"), "JSON"},
      {file("", R"({"type":"Unigram","vocab":[["a"]]})"), "model.vocab[0]"},
      {file("", R"({"type":"Unigram","vocab":[["a","b"]]})"), "model.vocab[0]"},
      {file("", R"({"type":"Unigram","vocab":[["a",0],[1,0]]})"), "model.vocab[1]"},
      {file("", R"({"type":"Unigram","vocab":[],"unk_id":0})"), "model.vocab"},
      {file("", R"({"type":"Unigram","vocab":[["a",0]],"unk_id":1})"), "model.unk_id"},
      {file("", R"({"type":"WordPiece","vocab":{}})"), "\"unk_token\""},
      {file("", R"({"type":"WordPiece","unk_token":"u","continuing_subword_prefix":"#","max_input_chars_per_word":-1,"vocab":{}})"),
       "max_input_chars_per_word"},
      {file("", R"({"type":"WordLevel","unk_token":null,"vocab":{}})"), "unk_token"},
      {file("\"added_tokens\":{}"), "added_tokens"},
      {file("\"added_tokens\":[7]"), "added_tokens[0]"},
      {file(R"("added_tokens":[{"id":1}])"), "added_tokens[0]"},
      {file(R"("added_tokens":[{"content":"x","lstrip":"yes"}])"), "added_tokens[0].lstrip"},
      {file(R"("normalizer":{"type":"Replace","pattern":{"String":"x"},"content":""},"added_tokens":[{"content":"x","normalized":true}])"),
       "\"x\""},
      {file(R"("added_tokens":[{"content":"x"}])", R"({"type":"WordLevel","unk_token":"u","vocab":{"u":1}})"), "holes"},
      {file(R"("normalizer":{"type":"Magic"})"), "\"Magic\""},
      {pre(R"({"type":"Magic"})"), "pre_tokenizer.type"},
      {pre(R"({})"), "pre_tokenizer"},
      {pre(R"({"type":"Sequence","pretokenizers":[null]})"), "pretokenizers[0]"},
      {pre(R"({"type":"Metaspace","replacement":"ab"})"), "replacement"},
      {pre(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"often"})"), "prepend_scheme"},
      {pre(R"({"type":"Metaspace","replacement":"▁","add_prefix_space":false})"), "add_prefix_space"},
      {pre(R"({"type":"FixedLength","length":0})"), "length"},
      {pre(R"({"type":"Split","pattern":{},"behavior":"Isolated","invert":false})"), "pattern"},
      {pre(R"({"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated","invert":false})"), "pattern.Regex"},
      {pre(R"({"type":"Split","pattern":{"String":"x"},"behavior":"Often","invert":false})"), "behavior"},
      {pre(R"({"type":"Punctuation","behavior":7})"), "behavior"},
      {post(R"({"type":"Magic"})"), "post_processor.type"},
      {post(R"({"type":"BertProcessing","sep":["a",1],"cls":["a"]})"), "cls"},
      {post(R"({"type":"BertProcessing","sep":["a",-1],"cls":["a",1]})"), "sep"},
      {post(R"({"type":"TemplateProcessing","single":[],"special_tokens":{}})"), "exactly once"},
      {post(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],"special_tokens":{}})"),
       "\"x\""},
      {decoder(R"({"type":"Magic"})"), "decoder.type"},
      {decoder(R"({"type":"Sequence","decoders":[{"type":"Strip","content":"xx","start":0,"stop":0}]})"), "decoders[0].content"},
  };
  for (const auto& [json, place] : files) {
    const std::string said = refusal(json);
    if (said.find(place) == std::string::npos)
      std::printf("# %s gives: %s, expected %s\n", json.substr(0, 200).c_str(), said.c_str(), place.c_str());
    CHECK(said.find(place) != std::string::npos);
  }
}

CASE("canary: a good file is not refused, and an empty vocabulary is none of the faults") {
  CHECK(refusal(file()).empty() && refusal(file("", R"({"type":"BPE","vocab":{},"merges":[]})")).empty());
  CHECK(refusal(file("", R"({"vocab":{"a":0},"merges":[]})")).empty());
}

CASE("cut and flipped files are refused or read, never more") {
  const std::string good = file(
      R"("added_tokens":[{"content":"<s>","special":true}],"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true}]},"decoder":{"type":"ByteLevel"})");
  int refused = 0;
  for (size_t length = 0; length < good.size(); ++length) refused += !refusal(good.substr(0, length)).empty();
  CHECK(refused == static_cast<int>(good.size()));
  uint64_t state = 1;
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = good;
    for (int n = 0; n < 2; ++n) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      damaged[(state >> 33) % damaged.size()] = "{}[]\",:0-9atnull\\\xff"[(state >> 20) % 18];
    }
    try {
      const Tokens made(damaged, "{}");
      ids(made, "ab <s> 12é");
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_TOKENIZER);
    }
  }
}

TEST_MAIN()
