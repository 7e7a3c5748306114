#include "io/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "base/error.h"

namespace fedlora {

namespace {
constexpr int max_depth = 64;
bool is_digit(char c) { return c >= '0' && c <= '9'; }
const char* kind_name(Json::Kind kind) {
  constexpr const char* names[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};
  return names[static_cast<int>(kind)];
}
}  // namespace

class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Json document() {
    Json value = parse_value(0);
    skip_space();
    if (at_ != text_.size()) wrong("something follows the JSON value");
    return value;
  }

 private:
  [[noreturn]] void wrong(const char* what) const {
    fail(Code::E_FORMAT, "%s: %s, at byte %zu of %zu. Expected valid JSON; the file is damaged or of another kind.", name_.c_str(), what,
         at_, text_.size());
  }

  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  bool take(char c) { return !done() && text_[at_] == c ? (++at_, true) : false; }

  void skip_space() {
    while (!done() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }

  void expect_word(const char* word) {
    const size_t length = std::strlen(word);
    if (text_.substr(at_, length) != word) wrong("an unknown word");
    at_ += length;
  }

  Json parse_value(int depth) {
    if (depth > max_depth) wrong("more than 64 levels of nesting");
    skip_space();
    Json value;
    switch (peek()) {
      case '{':
        parse_object(value, depth);
        break;
      case '[':
        parse_array(value, depth);
        break;
      case '"':
        value.value_ = parse_string();
        break;
      case 't':
      case 'f':
        value.value_ = peek() == 't';
        expect_word(peek() == 't' ? "true" : "false");
        break;
      case 'n':
        expect_word("null");
        break;
      default:
        parse_number(value);
    }
    return value;
  }

  void parse_object(Json& value, int depth) {
    std::vector<Json::Member>& members = value.value_.emplace<std::vector<Json::Member>>();
    ++at_;
    skip_space();
    if (take('}')) return;
    do {
      skip_space();
      if (peek() != '"') wrong("expected a key in quotes");
      std::string key = parse_string();
      skip_space();
      if (!take(':')) wrong("expected a colon after the key");
      members.emplace_back(std::move(key), parse_value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take('}')) wrong("expected a comma or a closing brace");
    refuse_twins(members);
  }

  void refuse_twins(const std::vector<Json::Member>& members) const {
    std::unordered_set<std::string_view> keys;
    keys.reserve(members.size());
    for (const auto& [key, value] : members)
      if (!keys.insert(key).second) wrong(format_text("the key \"%s\" occurs twice in an object", key.c_str()).c_str());
  }

  void parse_array(Json& value, int depth) {
    std::vector<Json>& elements = value.value_.emplace<std::vector<Json>>();
    ++at_;
    skip_space();
    if (take(']')) return;
    do {
      elements.push_back(parse_value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take(']')) wrong("expected a comma or a closing bracket");
  }

  void skip_digits() {
    if (!is_digit(peek())) wrong("expected a value");
    while (is_digit(peek())) ++at_;
  }

  void parse_number(Json& value) {
    const size_t begin = at_;
    bool whole = true;
    take('-');
    if (!take('0')) skip_digits();
    if (take('.')) whole = false, skip_digits();
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      ++at_;
      if (!take('-')) take('+');
      skip_digits();
    }
    const char *first = text_.data() + begin, *last = text_.data() + at_;
    int64_t integer;
    if (whole && std::from_chars(first, last, integer).ec == std::errc()) {
      value.value_ = integer;
      return;
    }
    double number;
    if (std::from_chars(first, last, number).ec == std::errc::result_out_of_range)  // tiny becomes 0 or a subnormal, huge is refused
      number = std::strtod(std::string(first, last).c_str(), nullptr);
    if (!std::isfinite(number)) wrong("a number beyond the range of double");
    value.value_ = number;
  }

  std::string parse_string() {
    ++at_;
    std::string out;
    while (true) {
      if (done()) wrong("a string without an end");
      const unsigned char c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') return ++at_, out;
      if (c < 0x20) wrong("a raw control character in a string");
      if (c == '\\') {
        ++at_;
        parse_escape(out);
      } else if (c < 0x80) {
        out.push_back(static_cast<char>(c)), ++at_;
      } else {
        copy_utf8(out);
      }
    }
  }

  uint32_t parse_hex4() {
    uint32_t unit = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) wrong("expected four hexadecimal digits");
      unit = unit << 4 | static_cast<uint32_t>(digit);
    }
    return unit;
  }

  void parse_escape(std::string& out) {
    const char c = peek();
    if (done()) wrong("a string without an end");
    ++at_;
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const size_t simple = letters.find(c);
    if (simple != std::string_view::npos) {
      out.push_back(meanings[simple]);
      return;
    }
    if (c != 'u') wrong("an unknown escape in a string");
    uint32_t point = parse_hex4();
    if (point >= 0xd800 && point < 0xdc00) {
      if (!take('\\') || !take('u')) wrong("a lone surrogate in a string");
      const uint32_t low = parse_hex4();
      if (low < 0xdc00 || low > 0xdfff) wrong("a lone surrogate in a string");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point < 0xe000) {
      wrong("a lone surrogate in a string");
    }
    if (point < 0x80) {
      out.push_back(static_cast<char>(point));
      return;
    }
    const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    constexpr uint32_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out.push_back(static_cast<char>(lead[more] | point >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) out.push_back(static_cast<char>(0x80 | ((point >> (6 * i)) & 0x3f)));
  }

  void copy_utf8(std::string& out) {
    const unsigned char lead = static_cast<unsigned char>(text_[at_]);
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || at_ + static_cast<size_t>(more) >= text_.size()) wrong("invalid UTF-8 in a string");
    uint32_t point = lead & (0x3fu >> more);
    for (int i = 1; i <= more; ++i) {
      const unsigned char next = static_cast<unsigned char>(text_[at_ + static_cast<size_t>(i)]);
      if ((next & 0xc0) != 0x80) wrong("invalid UTF-8 in a string");
      point = point << 6 | (next & 0x3f);
    }
    constexpr uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    if (point < smallest[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) wrong("invalid UTF-8 in a string");
    out.append(text_.substr(at_, static_cast<size_t>(more) + 1));
    at_ += static_cast<size_t>(more) + 1;
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
};

Json parse_json(std::string_view text, const std::string& name) { return JsonParser(text, name).document(); }

void Json::fail_kind(const char* what, const char* expected) const {
  fail(Code::E_FORMAT, "%s is %s, expected %s.", what, kind_name(kind()), expected);
}
bool Json::as_boolean(const char* what) const {
  if (!is(Kind::boolean)) fail_kind(what, "a boolean");
  return std::get<bool>(value_);
}
double Json::as_double(const char* what) const {
  if (!is(Kind::number)) fail_kind(what, "a number");
  return is_integer() ? static_cast<double>(std::get<int64_t>(value_)) : std::get<double>(value_);
}
int64_t Json::as_int64(const char* what) const {
  if (!is_integer()) fail_kind(what, "an integer of at most 64 bits");
  return std::get<int64_t>(value_);
}
const std::string& Json::as_string(const char* what) const {
  if (!is(Kind::string)) fail_kind(what, "a string");
  return std::get<std::string>(value_);
}
const std::vector<Json>& Json::as_array(const char* what) const {
  if (!is(Kind::array)) fail_kind(what, "an array");
  return std::get<std::vector<Json>>(value_);
}
const std::vector<Json::Member>& Json::as_object(const char* what) const {
  if (!is(Kind::object)) fail_kind(what, "an object");
  return std::get<std::vector<Member>>(value_);
}
const Json* Json::find(std::string_view key) const {
  if (!is(Kind::object)) return nullptr;
  for (const Member& member : std::get<std::vector<Member>>(value_))
    if (member.first == key) return &member.second;
  return nullptr;
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    constexpr std::string_view plain = "\"\\\b\f\n\r\t", letter = "\"\\bfnrt";
    const size_t special = plain.find(c);
    if (special != std::string_view::npos)
      out.append({'\\', letter[special]});
    else if (static_cast<unsigned char>(c) < 0x20)
      out += format_text("\\u%04x", c);
    else
      out.push_back(c);
  }
  out.push_back('"');
}

namespace {
/// [-]d[.ddd]e±dd with the fewest digits that read back. printf's are the nearest of their number, so the first that does is the shortest.
/// std::to_chars does the same with a tenth of a megabyte of tables in every binary that links them in.
std::string shortest_scientific(double value) {
  char text[32];
  for (int behind_point = 0;; ++behind_point) {
    const int length = std::snprintf(text, sizeof text, "%.*e", behind_point, value);
    if (behind_point < 16 && std::strtod(text, nullptr) != value) continue;
    if (behind_point > 0) text[std::signbit(value) ? 2 : 1] = '.';  // whatever the locale has there
    return std::string(text, static_cast<size_t>(length));
  }
}
}  // namespace

std::string json_number(double value) {
  const std::string scientific = shortest_scientific(value);
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  if (exponent < -4 || exponent >= 16) return scientific;
  std::string digits;
  for (const char c : scientific.substr(0, e))
    if (is_digit(c)) digits += c;
  const std::string sign = std::signbit(value) ? "-" : "";
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  digits.resize(std::max(digits.size(), whole + 1), '0');
  return sign + digits.insert(whole, 1, '.');
}

}  // namespace fedlora
