// The JSON reader and writers.
#include <functional>
#include <string>
#include <vector>

#include "base/philox.h"
#include "harness.h"
#include "io/json.h"

using namespace fedlora;

CASE("values of every kind, objects in file order") {
  const std::string text = R"( {"b": [1, -2.5, 1e3, true, false, null], "a": {"x": "y"}, "": ""} )";
  const Json json = parse_json(text, "test");
  const auto& members = json.as_object("it");
  CHECK(members.size() == 3 && members[0].first == "b" && members[1].first == "a" && members[2].first.empty());
  const auto& array = json.find("b")->as_array("b");
  CHECK(array.size() == 6 && array[0].as_int64("") == 1 && array[1].as_double("") == -2.5 && array[2].as_double("") == 1000);
  CHECK(array[3].as_boolean("") && !array[4].as_boolean("") && array[5].is(Json::Kind::null));
  CHECK(json.find("a")->find("x")->as_string("") == "y");
  CHECK(json.find("c") == nullptr && array[0].find("c") == nullptr);
  for (const char* empty : {"{}", "[]", "\"\"", "0", " null\n"}) parse_json(empty, "test");
}

CASE("integers are exact up to 64 bits, beyond they are only doubles") {
  CHECK(parse_json("9223372036854775807", "t").as_int64("") == INT64_MAX);
  CHECK(parse_json("-9223372036854775808", "t").as_int64("") == INT64_MIN);
  const Json big = parse_json("9223372036854775808", "t");
  CHECK(!big.is_integer() && big.as_double("") == 9223372036854775808.0);
  CHECK(!parse_json("1.0", "t").is_integer() && !parse_json("1e2", "t").is_integer());
  CHECK(parse_json("1e-400", "t").as_double("") == 0);
  CHECK(parse_json("5e-324", "t").as_double("") == 5e-324);
}

CASE("strings: escapes and UTF-8") {
  CHECK(parse_json(R"("\"\\\/\b\f\n\r\t")", "t").as_string("") == "\"\\/\b\f\n\r\t");
  CHECK(parse_json(R"("\u0041\u00e9\u20AC\uD83D\ude00")", "t").as_string("") == "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(parse_json("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "t").as_string("") == "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(parse_json(R"("\u0000")", "t").as_string("") == std::string(1, '\0'));
}

CASE("escapes, UTF-8 and control characters at both ends of every range") {
  const std::pair<const char*, std::string> points[] = {
      {R"(\u0020)", " "},
      {R"(\u007f)", "\x7f"},
      {R"(\u0080)", "\xc2\x80"},
      {R"(\u07ff)", "\xdf\xbf"},
      {R"(\u0800)", "\xe0\xa0\x80"},
      {R"(\ud7ff)", "\xed\x9f\xbf"},
      {R"(\ue000)", "\xee\x80\x80"},
      {R"(\uFFFF)", "\xef\xbf\xbf"},
      {R"(\ud800\udc00)", "\xf0\x90\x80\x80"},
      {R"(\udbff\udfff)", "\xf4\x8f\xbf\xbf"},
      {R"(\u09Af)", "\xe0\xa6\xaf"},
  };
  for (const auto& [escape, bytes] : points) {
    CHECK(parse_json('"' + std::string(escape) + '"', "t").as_string("") == bytes);
    CHECK(parse_json('"' + bytes + '"', "t").as_string("") == bytes);
  }
  for (const char* bad :
       {R"(\ud800\udbff)", R"(\ud800\ue000)", R"(\udbff\u0000)",  R"(\udfff)",        R"(\ud800x)", R"(\ud800\n)", R"(\u00g0)",
        R"(\u00`0)",       R"(\u00G0)",       R"(\u00@0)",        R"(\u00:0)",        R"(\u00/0)",  "\x1f",        "\xc1\xbf",
        "\xe0\x9f\xbf",    "\xed\xbf\xbf",    "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xc2\x7f",   "\xc2\xc0"})
    CHECK_THROWS(parse_json('"' + std::string(bad) + '"', "t"), E_FORMAT);
}

CASE("what is not strict JSON is refused") {
  const std::vector<std::string> bad = {"",
                                        " ",
                                        "{",
                                        "[",
                                        "\"",
                                        "\"\\",
                                        "\"\\u12",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "[1,]",
                                        "[1 2]",
                                        "{a:1}",
                                        "{'a':1}",
                                        "tru",
                                        "nul",
                                        "True",
                                        "NaN",
                                        "Infinity",
                                        "-Infinity",
                                        "-",
                                        "+1",
                                        "01",
                                        "-01",
                                        "1.",
                                        ".5",
                                        "1e",
                                        "1e+",
                                        "0x10",
                                        "1 2",
                                        "{} {}",
                                        "[1]//",
                                        "1e999",
                                        "-1e999",
                                        "{\"a\":1,\"a\":2}",
                                        "\"\\x\"",
                                        "\"\\x0041\"",
                                        "\"\n\"",
                                        "\"\\ud800\"",
                                        "\"\\ud800\\u0041\"",
                                        "\"\\udc00\"",
                                        "\"\xff\"",
                                        "\"\xc3\"",
                                        "\"\xc0\x80\"",
                                        "\"\xe0\x80\x80\"",
                                        "\"\xed\xa0\x80\"",
                                        "\"\xf4\x90\x80\x80\"",
                                        "\"\xf8\x88\x80\x80\x80\"",
                                        "\"\x80\"",
                                        std::string("1\0", 2)};
  for (const std::string& text : bad) CHECK_THROWS(parse_json(text, "test"), E_FORMAT);
}

CASE("64 levels are read, more are refused, deep garbage does not overflow the stack") {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + '1' + std::string(depth, ']'); };
  parse_json(nested(64), "test");
  CHECK_THROWS(parse_json(nested(65), "test"), E_FORMAT);
  CHECK_THROWS(parse_json(std::string(1000000, '['), "test"), E_FORMAT);
}

CASE("a message names the text and the byte") {
  try {
    parse_json("{\"a\": tru}", "header of x");
    CHECK(!"it threw");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("header of x") == 0 && std::string(error.what()).find("at byte 6") != std::string::npos);
  }
  const Json json = parse_json("[1]", "t");
  CHECK_THROWS(json.as_object("x"), E_FORMAT);
  CHECK_THROWS(json.as_string("x"), E_FORMAT);
  CHECK_THROWS(json.as_double("x"), E_FORMAT);
  CHECK_THROWS(json.as_int64("x"), E_FORMAT);
  CHECK_THROWS(json.as_boolean("x"), E_FORMAT);
  CHECK_THROWS(parse_json("1.5", "t").as_int64("x"), E_FORMAT);
}

CASE("written strings read back; every truncation and random flips never crash") {
  std::string all;
  for (int c = 0; c < 128; ++c) all.push_back(static_cast<char>(c));
  all += "\xc3\xa9\xf0\x9f\x98\x80";
  std::string text = "{\"key\":[1.5e3,";
  append_json_string(text, all);
  text += ",{\"n\":null}]}";
  CHECK(parse_json(text, "t").find("key")->as_array("")[1].as_string("") == all);
  for (size_t length = 0; length < text.size(); ++length) CHECK_THROWS(parse_json(std::string_view(text).substr(0, length), "t"), E_FORMAT);
  const Philox draw{3, 0};
  for (uint64_t round = 0; round < 20000; ++round) {
    std::string flipped = text;
    const auto words = draw(round);
    for (uint32_t i = 0; i <= words[3] % 3; ++i) flipped[words[i] % flipped.size()] ^= static_cast<char>(1u << (words[i] >> 29));
    try {
      parse_json(flipped, "t");
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_FORMAT);
    }
  }
}

CASE("numbers are written in Python's spelling and read back the same") {
  const std::vector<std::pair<double, const char*>> known = {{0.0, "0.0"},
                                                             {-0.0, "-0.0"},
                                                             {1.0, "1.0"},
                                                             {0.1, "0.1"},
                                                             {0.0001, "0.0001"},
                                                             {0.00001, "1e-05"},
                                                             {1.5e-7, "1.5e-07"},
                                                             {123456789.0, "123456789.0"},
                                                             {1e15, "1000000000000000.0"},
                                                             {1e16, "1e+16"},
                                                             {1e100, "1e+100"},
                                                             {-2.5, "-2.5"},
                                                             {0.23707254230976105, "0.23707254230976105"}};
  for (const auto& [value, text] : known) CHECK(json_number(value) == text);
  const Philox draw{4, 0};
  for (uint64_t i = 0; i < 2000; ++i) {
    const auto words = draw(i);
    const double value = (uniform_f32(words[0]) - 0.5) * std::pow(10.0, static_cast<double>(words[1] % 40) - 20.0);
    CHECK(parse_json(json_number(value), "t").as_double("") == value);
  }
}

CASE("canary: a changed text is another value") {
  CHECK(parse_json("[1]", "t").as_array("")[0].as_int64("") != parse_json("[2]", "t").as_array("")[0].as_int64(""));
  CHECK(json_number(0.1) != json_number(std::nextafter(0.1, 1.0)));
}

TEST_MAIN()
