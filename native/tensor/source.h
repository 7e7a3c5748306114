/// Where named tensors come from. `io` implements it over memory-mapped files; `model` and the tests consume it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace fedlora {

struct TensorView {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;  // row-major
  const void* data = nullptr;  // may be unaligned: read elements with memcpy or unaligned loads
  size_t bytes = 0;            // == stored_bytes(dtype, product(shape)), guaranteed by the source

  int64_t elements() const {
    int64_t count = 1;
    for (int64_t extent : shape) count *= extent;
    return count;
  }
};

/// "[2, 3]"
inline std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// Names in file order.
  virtual std::vector<std::string> names() const = 0;
  virtual bool has(const std::string& name) const = 0;
  /// Throws E_MISSING, naming the closest existing name. The view lives as long as the source.
  virtual TensorView get(const std::string& name) const = 0;
  /// The caller is done with this tensor's bytes: their pages may be dropped (they can still be read again, slower).
  virtual void release(const std::string& name) const = 0;
  /// As `get`, without the bytes: a source that has to make them need not. `data` may be null.
  virtual TensorView describe(const std::string& name) const { return get(name); }
};

}  // namespace fedlora
