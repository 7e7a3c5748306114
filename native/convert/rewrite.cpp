#include "convert/rewrite.h"

#include <sys/stat.h>

#include "base/error.h"

namespace fedlora {

void refuse_overwrite(const std::vector<std::string>& files, const std::string& output) {
  for (const std::string& file : files) {
    struct stat a{}, b{};
    if (::stat(output.c_str(), &a) == 0 && ::stat(file.c_str(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
      fail(Code::E_ARGUMENT, "%s is read and written at once: choose another output folder", output.c_str());
  }
}

int64_t file_bytes(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<int64_t>(status.st_size) : 0;
}

}  // namespace fedlora
