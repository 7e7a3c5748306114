/// A source under a description's names: what a file calls otherwise is renamed, rows in another order are put right while they are read.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/made_tensors.h"
#include "tensor/source.h"
#include "tensor/stored.h"

namespace fedlora {

class RenamedTensors final : public TensorSource {
 public:
  /// Tensors that `stored` does not mention keep their names.
  RenamedTensors(std::unique_ptr<TensorSource> source, const std::vector<StoredTensor>& stored);

  std::vector<std::string> names() const override { return names_; }
  bool has(const std::string& name) const override { return stored_.count(name) != 0; }
  /// Rows in another order are copied; the view lives until `release`, and the copies are not for several threads. E_SHAPE.
  TensorView get(const std::string& name) const override;
  TensorView describe(const std::string& name) const override { return source_->describe(place(name).stored); }
  void release(const std::string& name) const override;

 private:
  const StoredTensor& place(const std::string& name) const;

  std::unique_ptr<TensorSource> source_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, StoredTensor> stored_;  // by the description's name
  mutable MadeTensors<uint8_t> swapped_;
};

}  // namespace fedlora
