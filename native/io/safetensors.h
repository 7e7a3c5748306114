/// Named tensors out of safetensors files, mapped and not copied. One file, or the several shards of one checkpoint.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "io/mapped_file.h"
#include "io/safetensors_header.h"
#include "tensor/source.h"

namespace fedlora {

class Checkpoint : public TensorSource {
 public:
  /// Opens and validates every file. Throws E_ARGUMENT for an empty list, E_FORMAT when two files hold the same name, and what
  /// MappedFile and parse_safetensors_header throw.
  explicit Checkpoint(const std::vector<std::string>& paths);

  std::vector<std::string> names() const override { return names_; }
  bool has(const std::string& name) const override { return place_.count(name) != 0; }
  TensorView get(const std::string& name) const override;
  void release(const std::string& name) const override;

  size_t files() const { return files_.size(); }
  const std::string& path(size_t file = 0) const { return files_[file].path(); }
  /// `__metadata__` of one file.
  const Metadata& metadata(size_t file = 0) const { return metadata_[file]; }

 private:
  struct Place {
    size_t file;
    SafetensorsEntry entry;
  };
  const Place& find(const std::string& name) const;

  std::vector<MappedFile> files_;
  std::vector<Metadata> metadata_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Place> place_;
};

class SafetensorsFile : public Checkpoint {
 public:
  explicit SafetensorsFile(const std::string& path) : Checkpoint({path}) {}
};

}  // namespace fedlora
