/// A backend whose memory the host cannot touch: pages are open while an operator or a transfer is at work and closed otherwise, as if they
/// lay on another device. Whoever reads or writes a buffer past the memory's own functions gets SIGSEGV.
#pragma once
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <new>

#include "backend/forwarding.h"

namespace fedlora {

class LockedMemory final : public Memory {
 public:
  bool host() const override { return false; }
  void* allocate(size_t bytes) override {
    const size_t room = (bytes + page - 1) / page * page;
    void* const place = mmap(nullptr, room, open_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) fail(Code::E_MEMORY, "could not allocate %zu bytes", bytes);
    blocks_[place] = room;
    return place;
  }
  void release(void* place, size_t) noexcept override {
    munmap(place, blocks_.at(place));
    blocks_.erase(place);
  }
  void upload(const void* from, void* to, size_t bytes) override { move(from, to, bytes); }
  void download(const void* from, void* to, size_t bytes) override { move(from, to, bytes); }
  void copy(const void* from, void* to, size_t bytes) override { move(from, to, bytes); }
  void zero(void* to, size_t bytes) override {
    open();
    std::memset(to, 0, bytes);
    close();
  }

  void open() noexcept {
    if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() noexcept {
    if (--open_ == 0) protect(PROT_NONE);
  }
  size_t blocks() const { return blocks_.size(); }

 private:
  static constexpr size_t page = 4096;
  void move(const void* from, void* to, size_t bytes) {
    open();
    std::memmove(to, from, bytes);
    close();
  }
  void protect(int access) noexcept {
    for (const auto& [place, room] : blocks_) mprotect(place, room, access);
  }
  std::map<void*, size_t> blocks_;
  int open_ = 0;
};

/// The backend below, with its buffers in such a memory.
class LockedBackend final : public Forwarding {
 public:
  explicit LockedBackend(std::unique_ptr<Backend> next)
      : Forwarding(std::move(next)), locked_(std::make_shared<LockedMemory>()), memory_(locked_) {}
  const std::shared_ptr<Memory>& memory() const override { return memory_; }

 private:
  void enter(Op) override { locked_->open(); }
  void leave(Op) noexcept override { locked_->close(); }
  std::shared_ptr<LockedMemory> locked_;
  std::shared_ptr<Memory> memory_;
};

}  // namespace fedlora
