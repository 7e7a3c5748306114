#include "backend/cuda/library/describe_call.h"

#include <cctype>
#include <cstring>
#include <vector>

namespace fedlora::cuda {

namespace {

/// The last word of each argument: "(int64_t M, std::span<const float> x)" → M, x.
std::vector<std::string> names_in(const char* arguments) {
  std::vector<std::string> names;
  std::string word;
  int depth = 0;
  for (const char* at = arguments; *at != 0; ++at) {
    if (*at == '(' || *at == '<') ++depth;
    if (*at == '>' || *at == ')') --depth;
    if ((*at == ',' && depth == 1) || (*at == ')' && depth == 0)) names.push_back(word);
    const bool letter = std::isalnum(static_cast<unsigned char>(*at)) != 0 || *at == '_';
    const bool begins = at == arguments || !(std::isalnum(static_cast<unsigned char>(at[-1])) != 0 || at[-1] == '_');
    if (letter && begins) word.clear();
    if (letter) word += *at;
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
