/// A value of tokenizer.json beside the path that leads to it, so that what is wrong with it can be named: E_TOKENIZER.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace fedlora::tokenizer {

class Place {
 public:
  /// `json` must outlive the place. `path` is written as `model.vocab` or `decoder.decoders[2]`.
  Place(const Json& json, std::string path) : json_(&json), path_(std::move(path)) {}

  const Json& json() const { return *json_; }
  const std::string& path() const { return path_; }
  bool is(Json::Kind kind) const { return json_->is(kind); }
  bool is_null() const { return is(Json::Kind::null); }

  /// Whether an object has the member, and it is not null.
  bool has(std::string_view key) const;
  /// A member that must be there.
  Place at(std::string_view key) const;
  /// The elements of an array.
  std::vector<Place> elements() const;
  /// The text of `type`.
  const std::string& type() const { return at("type").text(); }

  const std::string& text() const;
  bool flag() const;
  int64_t integer(int64_t least, int64_t most) const;
  double number() const;
  /// A text of exactly one character.
  char32_t character() const;

  /// The member's value, or `otherwise` when it is absent or null.
  bool flag_or(std::string_view key, bool otherwise) const { return has(key) ? at(key).flag() : otherwise; }
  std::string text_or(std::string_view key, const char* otherwise) const { return has(key) ? at(key).text() : otherwise; }

  /// Throws E_TOKENIZER: the path, then what is wrong.
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  const Json* json_;
  std::string path_;
};

/// `text` in quotes, cut to a length that suits a message.
std::string quoted(std::string_view text);

}  // namespace fedlora::tokenizer
