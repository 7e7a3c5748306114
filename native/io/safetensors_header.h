/// The safetensors layout: a little-endian uint64 length n, n bytes of JSON, then the data.
///
///   {"__metadata__": {"format": "pt"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
///
/// Offsets count from the end of the header. The tensors tile the data: no overlap, no hole, nothing behind the last one.
/// Source: github.com/huggingface/safetensors, README "Format" and safetensors/src/tensor.rs.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tensor/dtype.h"

namespace fedlora {

/// Ordered pairs of strings: the `__metadata__` of a file.
using Metadata = std::vector<std::pair<std::string, std::string>>;

/// What a file says about one tensor before its bytes.
struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
};

/// product(shape) × dtype_bytes. Throws E_SHAPE when an extent is negative or the size overflows; `where` names the file.
size_t tensor_bytes(const TensorSpec& spec, const std::string& where);

struct SafetensorsEntry {
  TensorSpec spec;
  size_t begin = 0;  // from the start of the file
  size_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in header order
  Metadata metadata;
};

/// Reads and judges the header of a file of `size` bytes of which `bytes` holds all. Touches no tensor data.
/// Throws E_FORMAT, E_SHAPE or E_DTYPE naming `file`, the tensor, what it got and expected.
SafetensorsHeader parse_safetensors_header(const uint8_t* bytes, size_t size, const std::string& file);

/// The first bytes of a file that holds these tensors in this order: length, JSON, spaces up to a multiple of 8.
/// Throws E_ARGUMENT for a duplicate or reserved name, E_SHAPE.
std::string make_safetensors_header(const std::vector<TensorSpec>& tensors, const Metadata& metadata, const std::string& file);

}  // namespace fedlora
