/// A file mapped read-only into memory. The file must not shrink while it is mapped: reading beyond its end kills the process.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace fedlora {

class MappedFile {
 public:
  /// Throws E_MISSING when there is no such file, E_IO when it cannot be opened, is not a regular file or cannot be mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  /// Drops the whole pages inside [begin, begin + bytes) from this process; a later read fetches them again.
  void release(size_t begin, size_t bytes) const;

 private:
  std::string path_;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace fedlora
