#include "io/mapped_file.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace fedlora {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    fail(errno == ENOENT || errno == ENOTDIR ? Code::E_MISSING : Code::E_IO, "could not open %s: %s. Check the path and its permissions.",
         path.c_str(), std::strerror(errno));
  struct stat status = {};
  const bool known = ::fstat(file, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(file);
    fail(Code::E_IO, "%s is not a regular file. Expected the path of a file.", path.c_str());
  }
  size_ = static_cast<size_t>(status.st_size);
  if (size_ > 0) {
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    const int error = errno;
    if (address == MAP_FAILED) {
      ::close(file);
      fail(Code::E_IO, "could not map %s (%zu bytes) into memory: %s.", path.c_str(), size_, std::strerror(error));
    }
    data_ = static_cast<uint8_t*>(address);
  }
  ::close(file);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void MappedFile::release(size_t begin, size_t bytes) const {
  if (data_ == nullptr || begin > size_ || bytes > size_ - begin) return;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t first = (begin + page - 1) / page * page, last = (begin + bytes) / page * page;
  if (first < last) ::madvise(data_ + first, last - first, MADV_DONTNEED);
}

}  // namespace fedlora
#endif
