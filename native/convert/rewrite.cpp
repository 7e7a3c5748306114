#include "convert/rewrite.h"

#include "base/error.h"
#include "base/utf8_path.h"

namespace fedlora {

void refuse_overwrite(const std::vector<std::string>& files, const std::string& output) {
  for (const std::string& file : files) {
    std::error_code missing;
    if (std::filesystem::equivalent(utf8_path(output), utf8_path(file), missing))
      fail(Code::E_ARGUMENT, "%s is read and written at once: choose another output folder", output.c_str());
  }
}

int64_t file_bytes(const std::string& path) {
  std::error_code missing;
  const auto bytes = std::filesystem::file_size(utf8_path(path), missing);
  return missing ? 0 : static_cast<int64_t>(bytes);
}

}  // namespace fedlora
