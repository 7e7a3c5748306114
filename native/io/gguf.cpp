#include "io/gguf.h"

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/utf8_path.h"
#include "io/closest_name.h"

namespace fedlora {

GgufFile::GgufFile(const std::string& path) : file(path), header(parse_gguf_header(file.data(), file.size(), path)) {}

bool is_gguf(const std::string& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(utf8_path(path), none)) return false;
  const MappedFile file(path);
  return file.size() >= 4 && std::memcmp(file.data(), "GGUF", 4) == 0;
}

/// split.no, split.count and split.tensors.count, as gguf-split writes them into every part.
void GgufTensors::check_part(size_t index, size_t parts) const {
  const GgufHeader& header = files_[index].header;
  const uint64_t number = header.whole("split.no").value_or(0), count = header.whole("split.count").value_or(1);
  if (number != index || (count != parts && !(count == 0 && parts == 1)))
    fail(Code::E_FORMAT,
         "%s is part %llu of %llu by its split.no and split.count, expected part %zu of %zu. Get all parts anew, from one place.",
         files_[index].file.path().c_str(), static_cast<unsigned long long>(number) + 1, static_cast<unsigned long long>(count), index + 1,
         parts);
}

GgufTensors::GgufTensors(const std::vector<std::string>& paths) {
  if (paths.empty()) fail(Code::E_ARGUMENT, "a GGUF model of no files was opened. Expected at least one path.");
  files_.reserve(paths.size());
  for (size_t file = 0; file < paths.size(); ++file) {
    files_.emplace_back(paths[file]);
    check_part(file, paths.size());
    for (const GgufTensor& tensor : files_[file].header.tensors) {
      if (!tensor.type->dtype)
        fail(Code::E_DTYPE,
             "tensor \"%s\" of %s is stored as %s, which is not read. Get the model as F16, BF16, Q8_0, Q4_0 … Q5_1 or Q2_K … Q6_K, "
             "or turn it with llama-quantize --allow-requantize.",
             tensor.name.c_str(), paths[file].c_str(), tensor.type->name);
      const auto [where, fresh] = place_.try_emplace(tensor.name, Place{file, &tensor});
      if (!fresh)
        fail(Code::E_FORMAT, "tensor \"%s\" is in both %s and %s. Get all parts anew, from one place.", tensor.name.c_str(),
             paths[where->second.file].c_str(), paths[file].c_str());
      names_.push_back(tensor.name);
    }
  }
  const uint64_t announced = header().whole("split.tensors.count").value_or(names_.size());
  if (announced != names_.size())
    fail(Code::E_FORMAT,
         "%s announces %llu tensors by its split.tensors.count, but its %zu parts hold %zu. Get all parts anew, from one place.",
         paths[0].c_str(), static_cast<unsigned long long>(announced), paths.size(), names_.size());
}

const GgufTensors::Place& GgufTensors::find(const std::string& name) const {
  const auto found = place_.find(name);
  if (found != place_.end()) return found->second;
  const std::string closest = closest_name(name, names_);
  fail(Code::E_MISSING, "tensor \"%s\" is not in %s%s.", name.c_str(), files_[0].file.path().c_str(),
       closest.empty() ? ", which holds none" : format_text("; the closest name there is \"%s\"", closest.c_str()).c_str());
}

TensorView GgufTensors::get(const std::string& name) const {
  const Place& place = find(name);
  TensorView view;
  view.dtype = *place.tensor->type->dtype;
  view.shape = place.tensor->shape;
  view.data = files_[place.file].file.data() + place.tensor->begin;
  view.bytes = place.tensor->bytes;
  return view;
}

void GgufTensors::release(const std::string& name) const {
  const Place& place = find(name);
  files_[place.file].file.release(place.tensor->begin, place.tensor->bytes);
}

}  // namespace fedlora
