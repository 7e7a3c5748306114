#include "io/safetensors_writer.h"

#include <algorithm>

#include "base/error.h"

namespace fedlora {

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<TensorSpec> tensors, const Metadata& metadata)
    : tensors_(std::move(tensors)), file_(path) {
  const std::string header = make_safetensors_header(tensors_, metadata, path);
  file_.write(header.data(), header.size());
  skip_complete();
}

void SafetensorsWriter::skip_complete() {
  while (current_ < tensors_.size() && written_ == tensor_bytes(tensors_[current_], file_.path())) ++current_, written_ = 0;
}

void SafetensorsWriter::write(const std::string& name, const void* data, size_t bytes) {
  if (bytes == 0) return;
  if (current_ == tensors_.size())
    fail(Code::E_ARGUMENT, "%zu bytes of \"%s\" came after the last tensor of %s was complete.", bytes, name.c_str(), file_.path().c_str());
  const TensorSpec& spec = tensors_[current_];
  if (name != spec.name)
    fail(Code::E_ARGUMENT, "bytes of \"%s\" came, expected those of \"%s\": tensors are written to %s in the declared order.", name.c_str(),
         spec.name.c_str(), file_.path().c_str());
  const size_t left = tensor_bytes(spec, file_.path()) - written_;
  if (bytes > left)
    fail(Code::E_ARGUMENT, "%zu bytes of \"%s\" came, expected at most %zu more in %s.", bytes, name.c_str(), left, file_.path().c_str());
  file_.write(data, bytes);
  written_ += bytes;
  skip_complete();
}

void SafetensorsWriter::finish() {
  if (current_ < tensors_.size())
    fail(Code::E_ARGUMENT, "%s is not complete: bytes of \"%s\" are missing.", file_.path().c_str(), tensors_[current_].name.c_str());
  file_.commit();
}

void sort_as_safetensors(std::vector<NamedTensor>& tensors) {
  // The order of the library's dtype list, narrow to wide.
  constexpr DType narrow_first[] = {DType::boolean, DType::u8,  DType::i8,  DType::i16, DType::f16,
                                    DType::bf16,    DType::i32, DType::f32, DType::f64, DType::i64};
  const auto rank = [&](DType dtype) { return std::find(std::begin(narrow_first), std::end(narrow_first), dtype) - narrow_first; };
  std::stable_sort(tensors.begin(), tensors.end(), [&](const NamedTensor& a, const NamedTensor& b) {
    const auto left = rank(a.spec.dtype), right = rank(b.spec.dtype);
    return left != right ? left > right : a.spec.name < b.spec.name;
  });
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, const Metadata& metadata) {
  std::vector<TensorSpec> specs;
  for (const NamedTensor& tensor : tensors) specs.push_back(tensor.spec);
  SafetensorsWriter writer(path, std::move(specs), metadata);
  for (const NamedTensor& tensor : tensors) {
    const size_t bytes = tensor_bytes(tensor.spec, path);
    if (tensor.borrowed == nullptr && tensor.owned.size() != bytes)
      fail(Code::E_SHAPE, "tensor \"%s\" came with %zu bytes, expected %zu.", tensor.spec.name.c_str(), tensor.owned.size(), bytes);
    writer.write(tensor.spec.name, tensor.data(), bytes);
  }
  writer.finish();
}

}  // namespace fedlora
