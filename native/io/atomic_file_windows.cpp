// Files that appear whole, on Windows. MoveFileEx flushes the rename; folders cannot be flushed.
#include "io/atomic_file.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/utf8_path.h"

namespace fedlora {

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  static std::atomic<uint32_t> counter{0};
  // _O_EXCL never opens a file that another process made; a stale name left by a crashed one is skipped.
  for (int attempt = 0; file_ < 0; ++attempt) {
    temporary_ = format_text("%s.tmp-%ld-%u", path.c_str(), static_cast<long>(_getpid()), counter.fetch_add(1));
    constexpr int mode = _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY | _O_NOINHERIT;
    file_ = _wopen(utf8_path(temporary_).c_str(), mode, _S_IREAD | _S_IWRITE);
    if (file_ < 0 && (errno != EEXIST || attempt > 1000)) refuse("create");
  }
}

AtomicFile::~AtomicFile() {
  if (file_ >= 0) _close(file_);
  if (!temporary_.empty()) DeleteFileW(utf8_path(temporary_).c_str());
}

void AtomicFile::refuse(const char* what) const {
  fail(Code::E_IO, "could not %s %s: %s. Check the folder, its permissions and the free space.", what, path_.c_str(), std::strerror(errno));
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (file_ < 0) fail(Code::E_INTERNAL, "write to %s after it was committed.", path_.c_str());
  constexpr size_t most = size_t{1} << 30;  // _write counts in 32 bits
  const uint8_t* next = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const int written = _write(file_, next, static_cast<unsigned>(std::min(bytes, most)));
    if (written < 0) refuse("write");
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  if (file_ < 0) fail(Code::E_INTERNAL, "%s was committed twice.", path_.c_str());
  if (_commit(file_) != 0) refuse("flush");
  const int file = file_;
  file_ = -1;
  if (_close(file) != 0) refuse("close");
  if (!MoveFileExW(utf8_path(temporary_).c_str(), utf8_path(path_).c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
    fail(Code::E_IO, "could not rename onto %s: %s. Close whatever has the file open: a model loaded from it, another program.",
         path_.c_str(), std::system_category().message(static_cast<int>(GetLastError())).c_str());
  temporary_.clear();
}

}  // namespace fedlora
#endif
