/// The text of a pattern while it is parsed: characters, and refusals that say where.
#pragma once
#include <string>
#include <string_view>

#include "base/error.h"
#include "unicode/utf8.h"

namespace fedlora::regex {

class Reader {
 public:
  explicit Reader(std::string_view pattern) : pattern_(pattern) {}

  bool done() const { return at_ >= pattern_.size(); }
  size_t position() const { return at_; }
  void go_back_to(size_t position) { at_ = position; }
  std::string_view rest() const { return pattern_.substr(at_); }

  /// The next byte without taking it, 0 at the end.
  char peek(size_t ahead = 0) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }
  char32_t take() {
    if (done()) refuse("it ends too early");
    return unicode::decode(pattern_, at_);
  }
  bool take(std::string_view text) {
    if (!rest().starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  /// What stands before `end`, which is taken too.
  std::string_view take_until(char end, const char* what) {
    const size_t length = rest().find(end);
    if (length == std::string_view::npos) refuse(std::string(what) + " is not closed");
    const std::string_view text = rest().substr(0, length);
    at_ += length + 1;
    return text;
  }

  [[noreturn]] void refuse(const std::string& what) const { refuse_at(at_, what); }
  [[noreturn]] void refuse_at(size_t position, const std::string& what) const {
    fail(Code::E_TOKENIZER, "The regular expression \"%.*s\" is not supported: %s, at byte %zu.",
         static_cast<int>(std::min<size_t>(pattern_.size(), 300)), pattern_.data(), what.c_str(), position);
  }

 private:
  std::string_view pattern_;
  size_t at_ = 0;
};

}  // namespace fedlora::regex
