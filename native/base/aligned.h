/// Owned, 64-byte aligned, move-only storage for numbers, zeros at first. Throws E_MEMORY when memory is exhausted.
#pragma once
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "base/aligned_memory.h"
#include "base/error.h"
#include "base/large_block.h"

namespace fedlora {

template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// `count` elements, zeroed.
  explicit AlignedBuffer(size_t count) : count_(count) {
    if (count == 0) return;
    if (count > (static_cast<size_t>(1) << 48) / sizeof(T)) fail(Code::E_MEMORY, "a buffer of %zu elements is out of reach", count);
    if (large()) {
      data_ = static_cast<T*>(allocate_large_block(bytes()));
    } else {
      const size_t room = (bytes() + 63) / 64 * 64;
      data_ = static_cast<T*>(allocate_aligned(64, room));
      if (data_ != nullptr) std::memset(static_cast<void*>(data_), 0, room);
    }
    if (data_ == nullptr) fail(Code::E_MEMORY, "could not allocate %zu bytes", bytes());
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer gone(std::move(other));
    swap(gone);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() {
    if (large())
      free_large_block(data_, bytes());
    else
      free_aligned(data_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }
  bool empty() const { return count_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + count_; }

 private:
  bool large() const { return bytes() >= large_block_bytes; }
  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace fedlora
