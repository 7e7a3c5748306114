/// A file that appears whole or not at all: written beside its target under a temporary name, flushed to the disk, then renamed.
#pragma once
#include <cstddef>
#include <string>

namespace fedlora {

class AtomicFile {
 public:
  /// Creates the temporary file in the target's folder. Throws E_IO, as do all members.
  explicit AtomicFile(const std::string& path);
  /// Removes the temporary file unless commit() succeeded; the target is then as it was.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const { return path_; }
  void write(const void* data, size_t bytes);
  /// fsync, rename over the target, fsync of the folder.
  void commit();

 private:
  [[noreturn]] void refuse(const char* what) const;

  std::string path_;
  std::string temporary_;
  int file_ = -1;
};

}  // namespace fedlora
