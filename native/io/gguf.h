/// Named tensors out of GGUF files, mapped and not copied, under the names that the file has. One file, or all parts of a split model.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "io/gguf_header.h"
#include "io/mapped_file.h"
#include "tensor/source.h"

namespace fedlora {

/// A file's header with the mapping that its values point into.
struct GgufFile {
  /// Throws what MappedFile and parse_gguf_header throw.
  explicit GgufFile(const std::string& path);
  MappedFile file;
  GgufHeader header;
};

/// True when the file begins with the letters GGUF; false also when there is no such file.
bool is_gguf(const std::string& path);

class GgufTensors : public TensorSource {
 public:
  /// `paths`: the parts in order. Throws what GgufFile throws; E_ARGUMENT for an empty list; E_FORMAT when the parts are not those of one
  /// model or two hold the same name; E_DTYPE for a tensor of a type that is not decoded.
  explicit GgufTensors(const std::vector<std::string>& paths);

  std::vector<std::string> names() const override { return names_; }
  bool has(const std::string& name) const override { return place_.count(name) != 0; }
  TensorView get(const std::string& name) const override;
  void release(const std::string& name) const override;

  /// Of the first part, which has the model's metadata.
  const GgufHeader& header() const { return files_[0].header; }

 private:
  struct Place {
    size_t file;
    const GgufTensor* tensor;
  };
  void check_part(size_t index, size_t parts) const;
  const Place& find(const std::string& name) const;

  std::vector<GgufFile> files_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Place> place_;
};

}  // namespace fedlora
