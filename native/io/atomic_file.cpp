#include "io/atomic_file.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace fedlora {

namespace {
std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}
/// To the disk itself: macOS's fsync stops at the drive's cache.
bool flush(int file) {
#if defined(F_FULLFSYNC)
  if (::fcntl(file, F_FULLFSYNC) == 0) return true;  // not every file system has it
#endif
  return ::fsync(file) == 0;
}
}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  static std::atomic<uint32_t> counter{0};
  // O_EXCL never opens a file that another process made; a stale name left by a crashed one is skipped.
  for (int attempt = 0; file_ < 0; ++attempt) {
    temporary_ = format_text("%s.tmp-%ld-%u", path.c_str(), static_cast<long>(::getpid()), counter.fetch_add(1));
    file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0 && (errno != EEXIST || attempt > 1000)) refuse("create");
  }
}

AtomicFile::~AtomicFile() {
  if (file_ >= 0) ::close(file_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::refuse(const char* what) const {
  fail(Code::E_IO, "could not %s %s: %s. Check the folder, its permissions and the free space.", what, path_.c_str(), std::strerror(errno));
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (file_ < 0) fail(Code::E_INTERNAL, "write to %s after it was committed.", path_.c_str());
  const uint8_t* next = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(file_, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse("write");
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  if (file_ < 0) fail(Code::E_INTERNAL, "%s was committed twice.", path_.c_str());
  if (!flush(file_)) refuse("flush");
  const int file = file_;
  file_ = -1;
  if (::close(file) != 0) refuse("close");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) refuse("rename onto");
  temporary_.clear();
  const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) refuse("open the folder of");
  const bool flushed = flush(folder) || errno == EINVAL;  // EINVAL: this file system does not flush folders
  const int error = errno;
  ::close(folder);
  errno = error;
  if (!flushed) refuse("flush the folder of");
}

}  // namespace fedlora
#endif
