#include <cstring>

#include "backend/memory.h"
#include "base/aligned_memory.h"
#include "base/large_block.h"

namespace fedlora {

namespace {
constexpr size_t alignment = 64;  // a cache line; asked for more, malloc leaves holes that it does not give back

class HostMemory final : public Memory {
 public:
  bool host() const override { return true; }
  void* allocate(size_t bytes) override {
    void* place = nullptr;
    if (bytes >= large_block_bytes) {
      place = allocate_large_block(bytes);  // of zeros, not touched yet
    } else {
      const size_t room = (bytes + alignment - 1) / alignment * alignment;
      place = allocate_aligned(alignment, room);
      if (place != nullptr) std::memset(place, 0, room);
    }
    if (place == nullptr) fail(Code::E_MEMORY, "could not allocate %zu bytes", bytes);
    return place;
  }
  void release(void* place, size_t bytes) noexcept override {
    if (bytes >= large_block_bytes)
      free_large_block(place, bytes);
    else
      free_aligned(place);
  }
  void upload(const void* from, void* to, size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(const void* from, void* to, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy(const void* from, void* to, size_t bytes) override { std::memmove(to, from, bytes); }
  void zero(void* to, size_t bytes) override { std::memset(to, 0, bytes); }
};
}  // namespace

const std::shared_ptr<Memory>& host_memory() {
  static const std::shared_ptr<Memory> memory = std::make_shared<HostMemory>();
  return memory;
}

}  // namespace fedlora
