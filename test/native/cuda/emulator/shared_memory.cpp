#include "shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "fault.h"
#include "options.h"
#include "scheduler.h"

namespace emulator {
namespace {

constexpr size_t window_bytes = size_t{1} << 20;
constexpr size_t cell_bytes = 16;
constexpr size_t alignment_of_window = 1024;

size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }
size_t slack() { return rounded(machine.shared_bytes, alignment_of_window) - machine.shared_bytes; }

char* map_window() { return static_cast<char*>(mmap(nullptr, window_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }

}  // namespace

void open_shared_window() {
  static char* window = map_window();
  static size_t usable = 0;
  Machine& m = machine;
  const size_t used = rounded(m.shared_bytes, page_bytes);
  if (usable != used) {
    mprotect(window, window_bytes, PROT_NONE);
    mprotect(window + page_bytes, used, PROT_READ | PROT_WRITE);
    usable = used;
  }
#if EMULATOR_TSAN  // blocks are not ordered among themselves: what they take turns in using must look new
  if (used) mmap(window + page_bytes, used, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
#endif
  m.shared = window + page_bytes + used - rounded(m.shared_bytes, alignment_of_window);
  allow(window + page_bytes, used);
  std::memset(window + page_bytes, poison, used);
  forbid(window + page_bytes, used);
  allow(m.shared, m.shared_bytes);
  if (!options.strict) return;
  m.snapshot.assign(m.shared, m.shared + m.shared_bytes);
  m.writer.assign(m.shared_bytes / cell_bytes + 1, 0);
}

void check_slack() {
  allow(machine.shared + machine.shared_bytes, slack());
  for (size_t i = 0; i < slack(); ++i)
    if (static_cast<unsigned char>(machine.shared[machine.shared_bytes + i]) != poison)
      fault("somebody wrote shared byte %zu of %zu", machine.shared_bytes + i, machine.shared_bytes);
}

bool in_shared(const void* p, size_t bytes) {
  const auto* c = static_cast<const char*>(p);
  return c >= machine.shared && c + bytes <= machine.shared + machine.shared_bytes;
}

uint32_t shared_offset(const void* p, size_t bytes, size_t alignment, const char* who) {
  const ptrdiff_t offset = static_cast<const char*>(p) - machine.shared;
  if (!in_shared(p, bytes))
    fault("%s: %zu bytes at %td are outside the %zu bytes of shared memory", who, bytes, offset, machine.shared_bytes);
  if (static_cast<size_t>(offset) % alignment) fault("%s: shared address %td is not aligned to %zu", who, offset, alignment);
  return static_cast<uint32_t>(offset);
}

void spoil(void* to, size_t bytes) {
  Quiet quiet;
  std::memset(to, poison, bytes);
  if (options.strict && in_shared(to, bytes)) std::memcpy(machine.snapshot.data() + (static_cast<char*>(to) - machine.shared), to, bytes);
}

void note_writes() {
  Machine& m = machine;
  if (!m.current) return;
  constexpr size_t line_bytes = 256;
  for (size_t line = 0; line < m.snapshot.size(); line += line_bytes) {
    const size_t end = std::min(line + line_bytes, m.snapshot.size());
    if (std::memcmp(m.shared + line, m.snapshot.data() + line, end - line) == 0) continue;
    for (size_t c = line; c < end; c += cell_bytes) {
      if (std::memcmp(m.shared + c, m.snapshot.data() + c, cell_bytes) == 0) continue;
      std::memcpy(m.snapshot.data() + c, m.shared + c, cell_bytes);
      m.writer[c / cell_bytes] = m.current->linear + 1;
      m.current->dirty.push_back(static_cast<int>(c / cell_bytes));
    }
  }
}

void note_arrival(const void* p, size_t bytes) {
  if (!options.strict || !in_shared(p, bytes)) return;
  const auto offset = static_cast<size_t>(static_cast<const char*>(p) - machine.shared);
  std::memcpy(machine.snapshot.data() + offset, p, bytes);
  for (size_t c = offset / cell_bytes; c <= (offset + bytes - 1) / cell_bytes; ++c) machine.writer[c] = 0;
}

void fence_proxy() {
  if (!options.strict) return;
  Quiet quiet;
  note_writes();
  Fiber& me = *machine.current;
  for (int cell : me.dirty)
    if (int& writer = machine.writer[static_cast<size_t>(cell)]; writer == me.linear + 1) writer = 0;
  me.dirty.clear();
}

void check_fenced(uint32_t offset, const char* who) {
  if (!options.strict) return;
  Quiet quiet;
  if (const int writer = machine.writer[offset / cell_bytes])
    fault("%s reads shared byte %u, which thread %d wrote without fence.proxy.async", who, offset, writer - 1);
}

}  // namespace emulator
