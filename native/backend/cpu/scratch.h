/// Grow-only memory for one purpose, one piece for each member of the thread team. Contents do not survive from call to call.
#pragma once
#include <vector>

#include "base/aligned.h"

namespace fedlora {

class Scratch {
 public:
  /// Before the parallel loop, by the calling thread.
  void reserve(int members, size_t bytes_each) {
    if (pieces_.size() < static_cast<size_t>(members)) pieces_.resize(static_cast<size_t>(members));
    for (int member = 0; member < members; ++member) {
      AlignedBuffer<uint8_t>& piece = pieces_[static_cast<size_t>(member)];
      if (piece.bytes() >= bytes_each) continue;
      piece = AlignedBuffer<uint8_t>();  // free first: the old contents are not needed
      piece = AlignedBuffer<uint8_t>(bytes_each);
    }
  }
  template <class T>
  T* get(int member = 0) {  // null when nothing was reserved
    return reinterpret_cast<T*>(pieces_[static_cast<size_t>(member)].data());
  }
  size_t bytes() const {
    size_t total = 0;
    for (const AlignedBuffer<uint8_t>& piece : pieces_) total += piece.bytes();
    return total;
  }

 private:
  std::vector<AlignedBuffer<uint8_t>> pieces_;
};

}  // namespace fedlora
