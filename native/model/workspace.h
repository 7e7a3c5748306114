/// What the passes over one model borrow, one pass at a time: everything about a loaded model that changes.
#pragma once
#include <atomic>
#include <vector>

#include "backend/memory.h"
#include "model/rope_table.h"

namespace fedlora {

/// Memory that one pass after another lies in. It grows and never shrinks.
class Arena {
 public:
  explicit Arena(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
  /// At least `bytes`; what lay there before is lost.
  uint8_t* reserve(size_t bytes) {
    if (storage_.bytes() < bytes) {
      storage_ = Buffer<uint8_t>();  // the old one goes first: never two at a time
      storage_ = Buffer<uint8_t>(memory_, bytes);
    }
    return storage_.data();
  }

 private:
  std::shared_ptr<Memory> memory_;
  Buffer<uint8_t> storage_;
};

struct Workspace {
  explicit Workspace(const std::shared_ptr<Memory>& memory) : arena(memory) {}
  Arena arena;
  Buffer<float> logits;                       // on their way to the host
  std::vector<RopeTable> ropes;               // one for each of Description::ropes
  const std::atomic<bool>* cancel = nullptr;  // of whoever asked for the passes; null: nobody can stop them
};

}  // namespace fedlora
