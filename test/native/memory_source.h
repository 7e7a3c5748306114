/// Tensors in memory, to be damaged at will.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/source.h"

namespace fedlora {

class MemorySource : public TensorSource {
 public:
  struct Tensor {
    DType dtype = DType::f32;
    std::vector<int64_t> shape;
    std::vector<uint8_t> bytes;
  };
  std::map<std::string, Tensor> tensors;
  mutable std::vector<std::string> released;

  void add(const std::string& name, DType dtype, const std::vector<int64_t>& shape, const void* data, size_t bytes) {
    const uint8_t* first = static_cast<const uint8_t*>(data);
    tensors[name] = {dtype, shape, {first, first + bytes}};
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors) names.push_back(name);
    return names;
  }
  bool has(const std::string& name) const override { return tensors.count(name) != 0; }
  TensorView get(const std::string& name) const override {
    const auto found = tensors.find(name);
    if (found == tensors.end()) fail(Code::E_MISSING, "no %s", name.c_str());
    return {found->second.dtype, found->second.shape, found->second.bytes.data(), found->second.bytes.size()};
  }
  void release(const std::string& name) const override { released.push_back(name); }
};

}  // namespace fedlora
