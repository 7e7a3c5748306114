/// Coded errors. Every failure that a user can cause or meet is an `Error` with a stable code and a text that says
/// what, where, got, expected and the cure. Leaf kernels never throw; ops and rooms above do.
#pragma once
#include <cstdarg>
#include <stdexcept>
#include <string>

namespace fedlora {

enum class Code {
#define ERROR_CODE(name, meaning) name,
#include "base/error_codes.def"
#undef ERROR_CODE
};

const char* code_name(Code code);

class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Code code() const { return code_; }

 private:
  Code code_;
};

/// Throws `Error` with a printf-style message.
[[noreturn]] void fail(Code code, const char* format, ...) __attribute__((format(printf, 2, 3)));

std::string format_text(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace fedlora
