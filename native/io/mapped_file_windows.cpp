// Mapped files on Windows. A file that is mapped can be neither replaced nor removed there.
#include "io/mapped_file.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/utf8_path.h"

namespace fedlora {

namespace {
/// Closed when it goes out of scope; a view keeps its file and its mapping open by itself.
struct Handle {
  HANDLE value;
  ~Handle() {
    if (value != nullptr && value != INVALID_HANDLE_VALUE) CloseHandle(value);
  }
};

std::string message(DWORD error) { return std::system_category().message(static_cast<int>(error)); }

[[noreturn]] void refuse(const std::string& path, DWORD error) {
  const bool missing = error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND || error == ERROR_INVALID_NAME;
  fail(missing ? Code::E_MISSING : Code::E_IO, "could not open %s: %s. Check the path and its permissions.", path.c_str(),
       message(error).c_str());
}
}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const std::wstring wide = utf8_path(path).wstring();
  const DWORD kind = GetFileAttributesW(wide.c_str());
  if (kind == INVALID_FILE_ATTRIBUTES) refuse(path, GetLastError());
  if ((kind & FILE_ATTRIBUTE_DIRECTORY) != 0) fail(Code::E_IO, "%s is not a regular file. Expected the path of a file.", path.c_str());
  constexpr DWORD sharing = FILE_SHARE_READ | FILE_SHARE_DELETE;
  const Handle file{CreateFileW(wide.c_str(), GENERIC_READ, sharing, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr)};
  if (file.value == INVALID_HANDLE_VALUE) refuse(path, GetLastError());
  LARGE_INTEGER bytes;
  if (GetFileType(file.value) != FILE_TYPE_DISK || !GetFileSizeEx(file.value, &bytes))
    fail(Code::E_IO, "%s is not a regular file. Expected the path of a file.", path.c_str());
  size_ = static_cast<size_t>(bytes.QuadPart);
  if (size_ == 0) return;
  const Handle mapping{CreateFileMappingW(file.value, nullptr, PAGE_READONLY, 0, 0, nullptr)};
  void* const address = mapping.value == nullptr ? nullptr : MapViewOfFile(mapping.value, FILE_MAP_READ, 0, 0, 0);
  if (address == nullptr)
    fail(Code::E_IO, "could not map %s (%zu bytes) into memory: %s.", path.c_str(), size_, message(GetLastError()).c_str());
  data_ = static_cast<uint8_t*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) UnmapViewOfFile(data_);
}

void MappedFile::release(size_t begin, size_t bytes) const {
  if (data_ == nullptr || begin > size_ || bytes > size_ - begin) return;
  SYSTEM_INFO system;
  GetSystemInfo(&system);
  const size_t page = system.dwPageSize;
  const size_t first = (begin + page - 1) / page * page, last = (begin + bytes) / page * page;
  if (first < last) VirtualUnlock(data_ + first, last - first);  // of pages that are not locked: they leave the working set
}

}  // namespace fedlora
#endif
