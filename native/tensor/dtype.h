/// Element types of tensors in files and memory, by their safetensors names.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fedlora {

enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

constexpr size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
      return 2;
    default:
      return 1;
  }
}

/// "F32", "BF16", …: the spelling of safetensors.
constexpr const char* dtype_name(DType dtype) {
  constexpr const char* names[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"};
  return names[static_cast<int>(dtype)];
}

/// False when the name is not one of ours.
constexpr bool parse_dtype(std::string_view name, DType& dtype) {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i)
    if (name == dtype_name(static_cast<DType>(i))) return dtype = static_cast<DType>(i), true;
  return false;
}

}  // namespace fedlora
