/// Element types of tensors in files and memory: those of safetensors by their names there, and the blocks of GGUF by ggml's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fedlora {

/// From q4_0 on, numbers come in blocks with scales of their own (quant/ggml_blocks.h): rows are whole blocks.
enum class DType {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  f8_e4m3,
  boolean,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k
};

struct DTypeTraits {
  const char* name;    // the spelling of safetensors or ggml
  int block_elements;  // 1: plain numbers
  int block_bytes;     // of one block; of one element of a plain type
};

constexpr DTypeTraits dtype_traits(DType dtype) {
  constexpr DTypeTraits traits[] = {{"F64", 1, 8},     {"F32", 1, 4},     {"F16", 1, 2},      {"BF16", 1, 2},     {"I64", 1, 8},
                                    {"I32", 1, 4},     {"I16", 1, 2},     {"I8", 1, 1},       {"U8", 1, 1},       {"F8_E4M3", 1, 1},
                                    {"BOOL", 1, 1},    {"Q4_0", 32, 18},  {"Q4_1", 32, 20},   {"Q5_0", 32, 22},   {"Q5_1", 32, 24},
                                    {"Q8_0", 32, 34},  {"Q2_K", 256, 84}, {"Q3_K", 256, 110}, {"Q4_K", 256, 144}, {"Q5_K", 256, 176},
                                    {"Q6_K", 256, 210}};
  static_assert(sizeof traits / sizeof *traits == static_cast<size_t>(DType::q6_k) + 1);
  return traits[static_cast<int>(dtype)];
}

constexpr const char* dtype_name(DType dtype) { return dtype_traits(dtype).name; }

/// Numbers come in blocks with scales.
constexpr bool is_blocked(DType dtype) { return dtype_traits(dtype).block_elements > 1; }

/// Of one element of a plain type.
constexpr size_t dtype_bytes(DType dtype) { return static_cast<size_t>(dtype_traits(dtype).block_bytes); }

/// Of `elements` numbers, whole blocks of them.
constexpr size_t stored_bytes(DType dtype, size_t elements) {
  return elements / static_cast<size_t>(dtype_traits(dtype).block_elements) * static_cast<size_t>(dtype_traits(dtype).block_bytes);
}

/// A plain type by its name in safetensors; false when the name is none.
constexpr bool parse_dtype(std::string_view name, DType& dtype) {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i)
    if (name == dtype_name(static_cast<DType>(i))) return dtype = static_cast<DType>(i), true;
  return false;
}

}  // namespace fedlora
