/// Aligned blocks of the C library, whose Windows form has names of its own.
#pragma once
#include <cstddef>
#include <cstdlib>

#if defined(_WIN32)
#include <malloc.h>
#endif

namespace fedlora {

/// At least `bytes` bytes on a boundary of `alignment`, a power of two, or null. Contents are undefined.
inline void* allocate_aligned(size_t alignment, size_t bytes) {
  const size_t room = (bytes + alignment - 1) / alignment * alignment;
#if defined(_WIN32)
  return _aligned_malloc(room, alignment);
#else
  return std::aligned_alloc(alignment, room);
#endif
}

inline void free_aligned(void* block) {
#if defined(_WIN32)
  _aligned_free(block);
#else
  std::free(block);
#endif
}

}  // namespace fedlora
