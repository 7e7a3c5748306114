/// What the passes over one model borrow, one pass at a time: everything about a loaded model that changes.
#pragma once
#include <atomic>
#include <vector>

#include "base/aligned.h"
#include "model/rope_table.h"

namespace fedlora {

/// Memory that one pass after another lies in. It grows and never shrinks.
class Arena {
 public:
  /// At least `bytes`; what lay there before is lost.
  uint8_t* reserve(size_t bytes) {
    if (storage_.bytes() < bytes) {
      storage_ = AlignedBuffer<uint8_t>();  // the old one goes first: never two at a time
      storage_ = AlignedBuffer<uint8_t>(bytes);
    }
    return storage_.data();
  }

 private:
  AlignedBuffer<uint8_t> storage_;
};

struct Workspace {
  Arena arena;
  std::vector<RopeTable> ropes;               // one for each of Description::ropes
  const std::atomic<bool>* cancel = nullptr;  // of whoever asked for the passes; null: nobody can stop them
};

}  // namespace fedlora
