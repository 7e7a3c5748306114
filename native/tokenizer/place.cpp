#include "tokenizer/place.h"

#include "base/error.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

std::string quoted(std::string_view text) {
  constexpr size_t most = 60;
  size_t length = std::min(text.size(), most);
  while (length < text.size() && length > 0 && unicode::is_continuation(text[length])) --length;
  std::string out;
  append_json_string(out, text.substr(0, length));
  return length < text.size() ? out + "…" : out;
}

void Place::refuse(const std::string& what) const { throw Error(Code::E_TOKENIZER, path_ + ": " + what); }

bool Place::has(std::string_view key) const {
  const Json* member = json_->find(key);
  return member != nullptr && !member->is(Json::Kind::null);
}

Place Place::at(std::string_view key) const {
  if (!is(Json::Kind::object)) refuse("expected an object");
  const Json* member = json_->find(key);
  if (member == nullptr) refuse("the field " + quoted(key) + " is missing");
  return {*member, path_ + "." + std::string(key)};
}

std::vector<Place> Place::elements() const {
  if (!is(Json::Kind::array)) refuse("expected a list");
  const std::vector<Json>& list = json_->as_array("");
  std::vector<Place> out;
  out.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) out.emplace_back(list[i], path_ + "[" + std::to_string(i) + "]");
  return out;
}

const std::string& Place::text() const {
  if (!is(Json::Kind::string)) refuse("expected a string");
  return json_->as_string("");
}

bool Place::flag() const {
  if (!is(Json::Kind::boolean)) refuse("expected true or false");
  return json_->as_boolean("");
}

int64_t Place::integer(int64_t least, int64_t most) const {
  const int64_t value = json_->is_integer() ? json_->as_int64("") : least - 1;
  if (value < least || value > most)
    refuse(format_text("expected a whole number from %lld to %lld", static_cast<long long>(least), static_cast<long long>(most)));
  return value;
}

double Place::number() const {
  if (!is(Json::Kind::number)) refuse("expected a number");
  return json_->as_double("");
}

char32_t Place::character() const {
  const std::string& given = text();
  size_t end = 0;
  const char32_t point = given.empty() ? 0 : unicode::decode(given, end);
  if (given.empty() || end != given.size()) refuse("expected exactly one character, got " + quoted(given));
  return point;
}

}  // namespace fedlora::tokenizer
