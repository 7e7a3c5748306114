/// Memory of large blocks of zeros, straight from the system: nothing is touched until somebody uses it, so that the cost of the first
/// touch falls to whoever works on a part, on all threads at once, and parts that are never used cost nothing. In large pages where the
/// system has them: the first touch of 20 MiB then takes ten page faults instead of five thousand.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/aligned_memory.h"
#include "base/sanitizers.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fedlora {

inline constexpr size_t huge_page_bytes = size_t{2} << 20;
/// Blocks from here on are large.
inline constexpr size_t large_block_bytes = 2 * huge_page_bytes;

/// Asks for large pages for the whole ones in the block, before its first touch. Contents and addresses do not change.
inline void advise_huge_pages(void* data, size_t bytes) {
#if defined(__linux__)
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / huge_page_bytes * huge_page_bytes;
  if (data != nullptr && begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

// AddressSanitizer watches the ends of what comes from malloc only.
#if defined(__linux__) && !defined(FEDLORA_ADDRESS_SANITIZER)
#define FEDLORA_MAPPED_BLOCKS
#endif

inline size_t whole_huge_pages(size_t bytes) { return (bytes + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes; }

/// `bytes` zeros on a large page's boundary, or null. Give the same `bytes` to free_large_block.
inline void* allocate_large_block(size_t bytes) {
#if defined(FEDLORA_MAPPED_BLOCKS)
  // The system aligns to small pages only: ask for more and give the edges back.
  const size_t room = whole_huge_pages(bytes), asked = room + huge_page_bytes;
  void* const mapped = mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(mapped), data = whole_huge_pages(begin);
  if (data > begin) munmap(mapped, data - begin);
  if (data + room < begin + asked) munmap(reinterpret_cast<void*>(data + room), begin + asked - data - room);
  advise_huge_pages(reinterpret_cast<void*>(data), bytes);
  return reinterpret_cast<void*>(data);
#else
  void* const data = allocate_aligned(64, bytes);
  if (data != nullptr) std::memset(data, 0, bytes);
  return data;
#endif
}

inline void free_large_block(void* data, size_t bytes) {
#if defined(FEDLORA_MAPPED_BLOCKS)
  if (data != nullptr) munmap(data, whole_huge_pages(bytes));
#else
  (void)bytes;
  free_aligned(data);
#endif
}

}  // namespace fedlora
