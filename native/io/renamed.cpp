#include "io/renamed.h"

#include "base/error.h"
#include "io/closest_name.h"

namespace fedlora {

RenamedTensors::RenamedTensors(std::unique_ptr<TensorSource> source, const std::vector<StoredTensor>& stored) : source_(std::move(source)) {
  std::unordered_map<std::string, const StoredTensor*> by_file;
  for (const StoredTensor& tensor : stored) by_file.emplace(tensor.stored, &tensor);
  for (const std::string& name : source_->names()) {
    const auto known = by_file.find(name);
    StoredTensor tensor = known == by_file.end() ? StoredTensor{name, name, {}} : *known->second;
    names_.push_back(tensor.name);
    if (!stored_.emplace(names_.back(), std::move(tensor)).second)
      fail(Code::E_FORMAT, "two tensors of the file stand for %s, the second is \"%s\". Get the file anew.", names_.back().c_str(),
           name.c_str());
  }
}

const StoredTensor& RenamedTensors::place(const std::string& name) const {
  const auto found = stored_.find(name);
  if (found != stored_.end()) return found->second;
  fail(Code::E_MISSING, "tensor \"%s\" is not in the file; the closest name there is \"%s\".", name.c_str(),
       closest_name(name, names_).c_str());
}

TensorView RenamedTensors::get(const std::string& name) const {
  const StoredTensor& tensor = place(name);
  TensorView view = source_->get(tensor.stored);
  if (!tensor.swap.any()) return view;
  view.data = swapped_.get(name, [&] {
    AlignedBuffer<uint8_t> copy(view.bytes);
    const int64_t rows = view.shape.empty() ? 1 : view.shape[0];
    swap_rows(static_cast<const uint8_t*>(view.data), rows, view.bytes / static_cast<size_t>(rows), tensor.swap, copy.data(), name);
    source_->release(tensor.stored);
    return copy;
  });
  return view;
}

void RenamedTensors::release(const std::string& name) const {
  swapped_.release(name);
  source_->release(place(name).stored);
}

}  // namespace fedlora
