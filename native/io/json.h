/// A small strict JSON reader (RFC 8259) for headers and configuration files, and the two writers that files of ours need.
/// Refused with E_FORMAT, naming the text and the byte: anything after the value, comments, trailing commas, duplicate keys, lone
/// surrogates, invalid UTF-8, raw control characters, NaN and Infinity, more than 64 levels.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fedlora {

class Json {
 public:
  enum class Kind { null, boolean, number, string, array, object };
  using Member = std::pair<std::string, Json>;

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  /// A number written without fraction or exponent that fits int64.
  bool is_integer() const { return kind_ == Kind::number && integer_; }

  // Each throws E_FORMAT, naming `what`, when the value is of another kind.
  bool as_boolean(const char* what) const;
  double as_double(const char* what) const;
  int64_t as_int64(const char* what) const;
  const std::string& as_string(const char* what) const;
  const std::vector<Json>& as_array(const char* what) const;
  /// In file order.
  const std::vector<Member>& as_object(const char* what) const;

  /// The member of an object, or null when it is absent or this is not an object.
  const Json* find(std::string_view key) const;

 private:
  friend class JsonParser;
  [[noreturn]] void fail_kind(const char* what, const char* expected) const;

  Kind kind_ = Kind::null;
  bool boolean_ = false;
  bool integer_ = false;
  double number_ = 0;
  int64_t int64_ = 0;
  std::string string_;
  std::vector<Json> array_;
  std::vector<Member> object_;
};

/// `name` says what the text is, for messages.
Json parse_json(std::string_view text, const std::string& name);

/// Appends `text` (UTF-8) quoted and escaped; characters beyond ASCII stay as they are.
void append_json_string(std::string& out, std::string_view text);

/// The shortest decimal that reads back as the same double, in Python's spelling (0.0001, 1e-05, 2.0). Finite numbers only.
std::string json_number(double value);

}  // namespace fedlora
