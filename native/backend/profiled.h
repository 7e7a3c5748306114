/// Where the time of a step goes: a backend that forwards every operator to another and adds up its calls and seconds.
/// Put between model and backend when FEDLORA_PROFILE is set; otherwise it does not exist.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backend/ops.h"

namespace fedlora {

struct ProfileEntry {
  std::string op;
  int64_t calls = 0;
  double seconds = 0;
};

class Profiled : public Backend {
 public:
  /// Operators in order of first use; may be asked from another thread while a step runs.
  virtual std::vector<ProfileEntry> entries() const = 0;
};

std::unique_ptr<Profiled> profile(std::unique_ptr<Backend> backend);

}  // namespace fedlora
