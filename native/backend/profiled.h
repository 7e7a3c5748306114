/// Where the time of a step goes: calls and seconds of every operator.
/// Put between model and backend when FEDLORA_PROFILE is set; otherwise it does not exist.
#pragma once
#include <chrono>
#include <mutex>
#include <vector>

#include "backend/forwarding.h"

namespace fedlora {

struct ProfileEntry {
  const char* op = nullptr;
  int64_t calls = 0;
  double seconds = 0;
};

class Profiled final : public Forwarding {
 public:
  explicit Profiled(std::unique_ptr<Backend> backend);
  /// Operators in order of first use; may be asked from another thread while a step runs.
  std::vector<ProfileEntry> entries() const;

 private:
  using Clock = std::chrono::steady_clock;
  void enter(Op) override { begin_ = Clock::now(); }
  void leave(Op op) noexcept override;

  Clock::time_point begin_;
  mutable std::mutex mutex_;  // of the entries
  std::vector<ProfileEntry> entries_;
};

}  // namespace fedlora
