#include "backend/profiled.h"

namespace fedlora {

Profiled::Profiled(std::unique_ptr<Backend> backend) : Forwarding(std::move(backend)) { entries_.reserve(static_cast<size_t>(Op::count)); }

std::vector<ProfileEntry> Profiled::entries() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_;
}

void Profiled::leave(Op op) noexcept {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (ProfileEntry& entry : entries_)
    if (entry.op == op_name(op)) {
      ++entry.calls;
      entry.seconds += seconds;
      return;
    }
  entries_.push_back({op_name(op), 1, seconds});
}

}  // namespace fedlora
