/// A small strict JSON reader (RFC 8259) for headers and configuration files, and the two writers that files of ours need.
/// Refused with E_FORMAT, naming the text and the byte: anything after the value, comments, trailing commas, duplicate keys, lone
/// surrogates, invalid UTF-8, raw control characters, NaN and Infinity, more than 64 levels.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fedlora {

class Json {
 public:
  enum class Kind { null, boolean, number, string, array, object };
  using Member = std::pair<std::string, Json>;

  Kind kind() const { return kinds[value_.index()]; }
  bool is(Kind kind) const { return this->kind() == kind; }
  /// A number written without fraction or exponent that fits int64.
  bool is_integer() const { return std::holds_alternative<int64_t>(value_); }

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

  /// The elements, or the members, to be changed; null when this is not an array, or no object.
  std::vector<Json>* elements() { return std::get_if<std::vector<Json>>(&value_); }
  std::vector<Member>* members() { return std::get_if<std::vector<Member>>(&value_); }

 private:
  friend class JsonParser;
  [[noreturn]] void fail_kind(const char* what, const char* expected) const;

  static constexpr Kind kinds[] = {Kind::null, Kind::boolean, Kind::number, Kind::number, Kind::string, Kind::array, Kind::object};
  std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<Json>, std::vector<Member>> value_;
};

/// `name` says what the text is, for messages.
Json parse_json(std::string_view text, const std::string& name);

/// Appends `text` (UTF-8) quoted and escaped; characters beyond ASCII stay as they are.
void append_json_string(std::string& out, std::string_view text);

/// The shortest decimal that reads back as the same double, in Python's spelling (0.0001, 1e-05, 2.0). Finite numbers only.
std::string json_number(double value);

}  // namespace fedlora
