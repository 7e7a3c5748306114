/// A source some of whose matrices a file stores as [K,N] and a description has as [N,K] (GPT-2's Conv1D): transposed while they are read.
#pragma once
#include <memory>
#include <string>
#include <unordered_set>

#include "io/made_tensors.h"
#include "tensor/source.h"

namespace fedlora {

/// out [N,K] = inᵀ of in [K,N], elements of `width` bytes.
void transpose(const uint8_t* in, int64_t K, int64_t N, size_t width, uint8_t* out);

class TransposedTensors final : public TensorSource {
 public:
  /// `transposed`: names of the source's; what is not of two dimensions stays as it is, for others to refuse.
  TransposedTensors(std::unique_ptr<TensorSource> source, std::unordered_set<std::string> transposed)
      : source_(std::move(source)), transposed_(std::move(transposed)) {}

  std::vector<std::string> names() const override { return source_->names(); }
  bool has(const std::string& name) const override { return source_->has(name); }
  /// The copy lives until `release`; not for several threads.
  TensorView get(const std::string& name) const override;
  TensorView describe(const std::string& name) const override;
  void release(const std::string& name) const override;

 private:
  std::unique_ptr<TensorSource> source_;
  std::unordered_set<std::string> transposed_;
  mutable MadeTensors<uint8_t> made_;
};

}  // namespace fedlora
