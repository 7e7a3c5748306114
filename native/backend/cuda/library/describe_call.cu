#include "backend/cuda/library/describe_call.h"

#include <cctype>
#include <cstring>
#include <vector>

namespace fedlora::cuda {

namespace {

/// The last word of each argument: "(int64_t M, std::span<const float> x)" → M, x. No type in ops.def holds a comma.
std::vector<std::string> names_in(const char* arguments) {
  std::vector<std::string> names;
  std::string word;
  bool within = false;  // a word
  for (const char* at = arguments; *at != 0; ++at) {
    const bool letter = std::isalnum(static_cast<unsigned char>(*at)) != 0 || *at == '_';
    if (letter && !within) word.clear();
    if (letter) word += *at;
    within = letter;
    if (*at == ',' || *at == ')') names.push_back(word);
  }
  return names;
}

}  // namespace

std::string describe_call(const char* name, const char* arguments, std::initializer_list<long long> shapes) {
  const std::vector<std::string> names = names_in(arguments);
  std::string text = std::string(name) + "(";
  size_t i = 0;
  for (const long long shape : shapes) {
    if (shape != no_shape && i < names.size()) text += (text.back() == '(' ? "" : ", ") + names[i] + " " + std::to_string(shape);
    ++i;
  }
  return text + ")";
}

const char* arguments_of(const char* name) {
#define OP(Result, operator_name, arguments) \
  if (std::strcmp(name, #operator_name) == 0) return #arguments;
#include "backend/ops.def"
#undef OP
  return "()";
}

}  // namespace fedlora::cuda
