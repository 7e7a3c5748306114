/// The GGUF layout, versions 2 and 3, little-endian. A string is a uint64 length and its bytes.
///
///   "GGUF", uint32 version, uint64 tensors, uint64 keys
///   a key:     string name, uint32 type, value; of a list (type 9): uint32 type of its elements, uint64 count, elements
///   a tensor:  string name, uint32 dimensions, uint64 extents (the innermost first), uint32 ggml type, uint64 offset
///   zeros up to a multiple of general.alignment (32 where it is not said), from where offsets count; then the data, padded tensor by
///   tensor
///
/// The tensors tile the data in the order in which they are listed, and nothing is behind the last one but its padding.
/// Source: github.com/ggml-org/ggml, docs/gguf.md; what is refused follows ggml/src/gguf.cpp and its published overflows.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace fedlora {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, list, u64, i64, f64 };

/// By the number of the type.
inline constexpr const char* gguf_type_names[] = {"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                                  "bool",  "string", "list",   "uint64", "int64",  "float64"};
inline const char* gguf_type_name(GgufType type) { return gguf_type_names[static_cast<int>(type)]; }

/// A value of the metadata: where it lies in the file's bytes, which it does not own.
struct GgufValue {
  GgufType type = GgufType::u32;  // of a list: of its elements
  bool is_list = false;
  uint64_t count = 1;
  std::string_view bytes;

  /// Every element in order. Integers beyond ±2^53 and doubles round to the nearest double. Nothing of strings.
  std::vector<double> numbers() const;
  /// Every element in order; nothing of numbers. The views are of the file's bytes.
  std::vector<std::string_view> strings() const;
};

struct GgufKey {
  std::string name;
  GgufValue value;
};

/// A number type of ggml. `dtype` is empty for types that nothing here decodes.
struct GgmlType {
  uint32_t id;
  const char* name;
  int block_elements, block_bytes;
  std::optional<DType> dtype;
};

/// Null for a number that is no type.
const GgmlType* find_ggml_type(uint32_t id);
const GgmlType& ggml_type_of(DType dtype);

struct GgufTensor {
  std::string name;
  const GgmlType* type = nullptr;
  std::vector<int64_t> shape;  // row-major: the innermost extent last
  size_t begin = 0;            // from the start of the file
  size_t bytes = 0;
};

struct GgufHeader {
  std::vector<GgufKey> keys;
  std::vector<GgufTensor> tensors;

  /// Null when there is no such key.
  const GgufValue* find(std::string_view name) const;
  /// A key's only whole number; none when it is absent, no whole number or below 0.
  std::optional<uint64_t> whole(std::string_view name) const;
};

/// Reads and judges the header of a file of `size` bytes of which `bytes` holds all. Touches no tensor data. The values point into `bytes`.
/// Throws E_FORMAT, E_VERSION, E_SHAPE or E_DTYPE naming `file`, the place, what it got and expected.
GgufHeader parse_gguf_header(const uint8_t* bytes, size_t size, const std::string& file);

}  // namespace fedlora
