/// A folder beside the running test program that is removed, with the files in it, at the end of a case.
#pragma once
#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/error.h"

class ScratchFolder {
 public:
  ScratchFolder() {
    char program[4096];
    const ssize_t length = ::readlink("/proc/self/exe", program, sizeof program);
    const std::string self(program, length > 0 ? static_cast<size_t>(length) : 0);
    path_ = self.substr(0, self.rfind('/')) + "/scratch-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) fedlora::fail(fedlora::Code::E_IO, "no scratch folder %s", path_.c_str());
  }
  ~ScratchFolder() {
    each([&](const std::string& name) { ::unlink((path_ + "/" + name).c_str()); });
    ::rmdir(path_.c_str());
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  int entries() const {
    int count = 0;
    each([&](const std::string&) { ++count; });
    return count;
  }

 private:
  template <class Visit>
  void each(Visit visit) const {
    DIR* folder = ::opendir(path_.c_str());
    if (folder == nullptr) return;
    while (const dirent* entry = ::readdir(folder))
      if (std::string(entry->d_name) != "." && std::string(entry->d_name) != "..") visit(entry->d_name);
    ::closedir(folder);
  }
  std::string path_;
};
