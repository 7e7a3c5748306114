/// Owned, 64-byte aligned, move-only storage for numbers. Reports nothing, throws E_MEMORY when memory is exhausted.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "base/error.h"
#include "base/huge_pages.h"

namespace fedlora {

template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// `count` elements, zeroed.
  explicit AlignedBuffer(size_t count) : count_(count) {
    if (count == 0) return;
    if (count > (static_cast<size_t>(1) << 48) / sizeof(T)) fail(Code::E_MEMORY, "a buffer of %zu elements is out of reach", count);
    // A large block begins with a whole large page.
    const size_t alignment = count * sizeof(T) >= 2 * huge_page_bytes ? huge_page_bytes : 64;
    const size_t bytes = (count * sizeof(T) + alignment - 1) / alignment * alignment;
    data_ = static_cast<T*>(std::aligned_alloc(alignment, bytes));
    if (data_ == nullptr) fail(Code::E_MEMORY, "could not allocate %zu bytes", bytes);
    advise_huge_pages(data_, count * sizeof(T));
    std::memset(static_cast<void*>(data_), 0, (count * sizeof(T) + 63) / 64 * 64);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer gone(std::move(other));
    swap(gone);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { std::free(data_); }

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
  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace fedlora
