/// What the sanitizers are told about fibers. ThreadSanitizer is the race detector of kernels: each thread of a block is a fiber of its
/// own, switches order nothing, barriers do. AddressSanitizer only has to know whose stack is in use. Without either, all of this is
/// nothing. The emulator itself is compiled without instrumentation and told by -DEMULATOR_TSAN=1 or -DEMULATOR_ASAN=1 how the kernels are:
/// what it does in its own tables is no access of a kernel's.
#pragma once
#include <cstddef>

#if defined(__SANITIZE_THREAD__)
#define EMULATOR_TSAN 1
#elif !defined(EMULATOR_TSAN)
#define EMULATOR_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN 1
#elif !defined(EMULATOR_ASAN)
#define EMULATOR_ASAN 0
#endif

#if EMULATOR_TSAN
/// Seen neither as a read nor as a write, and never inlined into what is.
#define EMULATOR_UNSEEN __attribute__((noinline, no_sanitize("thread")))
extern "C" {
void* __tsan_create_fiber(unsigned);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned);
void* __tsan_get_current_fiber();
void __tsan_acquire(void*);
void __tsan_release(void*);
void __tsan_read_range(void*, unsigned long);
void __tsan_write_range(void*, unsigned long);
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#else
#define EMULATOR_UNSEEN
#endif
#if EMULATOR_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void**, const void*, size_t);
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
void __asan_poison_memory_region(const volatile void*, size_t);
void __asan_unpoison_memory_region(const volatile void*, size_t);
}
#endif

/// Accesses made on a thread's behalf by the copy engine or the tensor cores. The emulator's own doing is dropped by name
/// (`race_top:^emulator::`); these count, therefore they have a namespace of their own.
namespace device_access {
#if EMULATOR_TSAN
__attribute__((noinline)) inline void read(const void* p, size_t bytes) { __tsan_read_range(const_cast<void*>(p), bytes); }
__attribute__((noinline)) inline void write(void* p, size_t bytes) { __tsan_write_range(p, bytes); }
#else
inline void read(const void*, size_t) {}
inline void write(void*, size_t) {}
#endif
}  // namespace device_access

namespace emulator {
#if EMULATOR_ASAN
/// Bytes that nobody may touch although their page is there.
inline void forbid(void* p, size_t bytes) { __asan_poison_memory_region(p, bytes); }
inline void allow(void* p, size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
#else
inline void forbid(void*, size_t) {}
inline void allow(void*, size_t) {}
#endif
#if EMULATOR_TSAN
inline void acquire(void* token) { __tsan_acquire(token); }
inline void release(void* token) { __tsan_release(token); }
/// What happens while one lives is the emulator's business and no access of the kernel's.
struct Quiet {
  Quiet() { AnnotateIgnoreReadsBegin("", 0), AnnotateIgnoreWritesBegin("", 0); }
  ~Quiet() { AnnotateIgnoreWritesEnd("", 0), AnnotateIgnoreReadsEnd("", 0); }
  Quiet(const Quiet&) = delete;
};
/// Inside a Quiet: accesses count again.
struct Heard {
  Heard() { AnnotateIgnoreWritesEnd("", 0), AnnotateIgnoreReadsEnd("", 0); }
  ~Heard() { AnnotateIgnoreReadsBegin("", 0), AnnotateIgnoreWritesBegin("", 0); }
  Heard(const Heard&) = delete;
};
#else
inline void acquire(void*) {}
inline void release(void*) {}
struct Quiet {
  Quiet() {}
  ~Quiet() {}
  Quiet(const Quiet&) = delete;
};
using Heard = Quiet;
#endif
}  // namespace emulator
