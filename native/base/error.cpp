#include "base/error.h"

#include <cstdio>
#include <vector>

namespace fedlora {

namespace {
std::string format_list(const char* format, std::va_list list) {
  std::va_list again;
  va_copy(again, list);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  std::vector<char> buffer(static_cast<size_t>(length) + 1);
  std::vsnprintf(buffer.data(), buffer.size(), format, list);
  return std::string(buffer.data(), static_cast<size_t>(length));
}
}  // namespace

const char* code_name(Code code) {
  switch (code) {
#define ERROR_CODE(name, meaning) \
  case Code::name:                \
    return #name;
#include "base/error_codes.def"
#undef ERROR_CODE
  }
  return "E_INTERNAL";
}

void fail(Code code, const char* format, ...) {
  std::va_list list;
  va_start(list, format);
  std::string text = format_list(format, list);
  va_end(list);
  throw Error(code, text);
}

std::string format_text(const char* format, ...) {
  std::va_list list;
  va_start(list, format);
  std::string text = format_list(format, list);
  va_end(list);
  return text;
}

}  // namespace fedlora
