/// Where a backend's operators find their operands: its memory and the one queue that operators and transfers stand in, and buffers in it.
/// Addresses belong to the backend. The host reads and writes them by `upload` and `download`, or at once where the memory is the host's.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"

namespace fedlora {

class Memory {
 public:
  virtual ~Memory() = default;
  /// Whether its addresses are the host's own.
  virtual bool host() const = 0;
  /// `bytes` > 0 zeros, aligned as the operators want them: to 64 on the host, 256 on a device. Throws E_MEMORY.
  virtual void* allocate(size_t bytes) = 0;
  /// With the same `bytes`.
  virtual void release(void* place, size_t bytes) noexcept = 0;
  /// Bytes that `allocate` can still give; of the host's memory that is not known.
  virtual size_t available() const { return SIZE_MAX; }
  // In order with the operators, and with one another.
  /// `from` is the host's, and may be used again at the return.
  virtual void upload(const void* from, void* to, size_t bytes) = 0;
  /// `to` is the host's. Waits for all that was asked before.
  virtual void download(const void* from, void* to, size_t bytes) = 0;
  virtual void copy(const void* from, void* to, size_t bytes) = 0;
  virtual void zero(void* to, size_t bytes) = 0;
};

/// The memory of this process: a transfer is a copy, and everything is done at once.
const std::shared_ptr<Memory>& host_memory();

/// Owned, move-only storage for numbers in a backend's memory, zeros at first.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<Memory> memory, size_t count) : memory_(std::move(memory)), count_(count) {
    if (count > (static_cast<size_t>(1) << 48) / sizeof(T)) fail(Code::E_MEMORY, "a buffer of %zu elements is out of reach", count);
    if (count > 0) data_ = static_cast<T*>(memory_->allocate(bytes()));
  }
  /// Holds what the host gives.
  Buffer(std::shared_ptr<Memory> memory, std::span<const T> values) : Buffer(std::move(memory), values.size()) { upload(values); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer gone(std::move(other));
    swap(gone);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) memory_->release(data_, bytes());
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::span<T> span() { return {data_, count_}; }
  std::span<const T> span() const { return {data_, count_}; }
  size_t size() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }
  bool empty() const { return count_ == 0; }
  /// Null for a buffer that was never given one.
  const std::shared_ptr<Memory>& memory() const { return memory_; }

  /// Elements [at, at + values.size()).
  void upload(std::span<const T> values, size_t at = 0) {
    if (!values.empty()) memory_->upload(values.data(), data_ + at, values.size_bytes());
  }
  void zero() {
    if (count_ > 0) memory_->zero(data_, bytes());
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }
  std::shared_ptr<Memory> memory_;
  T* data_ = nullptr;
  size_t count_ = 0;
};

/// What lies in a backend's memory, for the host to read: the memory itself where that is the host's, otherwise a copy.
template <class T>
class HostView {
 public:
  HostView(Memory& memory, const T* data, size_t count) : view_(data, count) {
    if (memory.host() || count == 0) return;
    copy_.resize(count);
    memory.download(data, copy_.data(), count * sizeof(T));
    view_ = copy_;
  }
  explicit HostView(const Buffer<T>& buffer) : HostView(buffer.empty() ? *host_memory() : *buffer.memory(), buffer.data(), buffer.size()) {}
  HostView(const HostView&) = delete;  // the view may be of the copy
  HostView& operator=(const HostView&) = delete;

  std::span<const T> span() const { return view_; }
  const T* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  const T& operator[](size_t i) const { return view_[i]; }

 private:
  std::vector<T> copy_;
  std::span<const T> view_;
};

/// Room in a backend's memory for `count` results that the host wants at `to`: there, where the memory is the host's; otherwise in
/// `reserve`, which grows as needed, until `finish` brings them.
template <class T>
class HostOutput {
 public:
  HostOutput(const std::shared_ptr<Memory>& memory, T* to, size_t count, Buffer<T>& reserve) : memory_(*memory), to_(to), count_(count) {
    if (!memory->host() && reserve.size() < count) reserve = Buffer<T>(memory, count);
    place_ = memory->host() ? to : reserve.data();
  }
  T* place() const { return place_; }
  void finish() {
    if (place_ != to_) memory_.download(place_, to_, count_ * sizeof(T));
  }

 private:
  Memory& memory_;
  T *to_, *place_;
  size_t count_;
};

/// Lets the host change what lies in [begin, end) of a buffer: `change(std::span<T>)`.
template <class T, class Change>
void edit(Buffer<T>& buffer, size_t begin, size_t end, const Change& change) {
  if (begin == end) return;
  if (buffer.memory()->host()) return change(buffer.span().subspan(begin, end - begin));
  std::vector<T> copy(end - begin);
  buffer.memory()->download(buffer.data() + begin, copy.data(), copy.size() * sizeof(T));
  change(std::span<T>(copy));
  buffer.upload(copy, begin);
}
template <class T, class Change>
void edit(Buffer<T>& buffer, const Change& change) {
  edit(buffer, 0, buffer.size(), change);
}

}  // namespace fedlora
