#include "block.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "fault.h"
#include "options.h"
#include "scheduler.h"
#include "shared_memory.h"
#include "signals.h"

namespace emulator {
namespace {

void grow_pool(size_t threads) {
  while (machine.fibers.size() < threads) {
    machine.fibers.push_back(std::make_unique<Fiber>());
    void* map = mmap(nullptr, stack_bytes + page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(map, page_bytes, PROT_NONE);
    machine.fibers.back()->stack = static_cast<char*>(map) + page_bytes;
  }
}

/// The frames of the last block never returned: to the sanitizers its stacks must look new.
void renew_stack([[maybe_unused]] char* stack) {
#if EMULATOR_TSAN
  mmap(stack, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
#endif
#if EMULATOR_ASAN
  __asan_unpoison_memory_region(stack, stack_bytes);
#endif
}

void begin_block(dim3 index) {
  Machine& m = machine;
  m.index = index;
  m.meetings.clear(), m.barriers.clear(), m.pending.clear(), m.error.clear();
  for (auto& ready : m.ready) ready.clear();
  m.ready_warps = 0;
  m.warpgroups.assign(static_cast<size_t>(m.threads + 127) / 128, {});
  m.register_budget.assign(m.warpgroups.size(), 0);
  m.live = m.threads;
  for (uint32_t& priority : m.priority) priority = m.next();
  open_shared_window();
#if EMULATOR_TSAN
  m.host_tsan = __tsan_get_current_fiber();
#endif
  for (int i = 0; i < m.threads; ++i) {
    Fiber& fiber = *m.fibers[static_cast<size_t>(i)];
    renew_stack(fiber.stack);
    prepare_fiber(fiber, i);
    make_ready(&fiber);
  }
}

/// Threads are left that nobody will wake: how many wait where.
std::string describe_deadlock() {
  std::map<std::string, std::pair<int, int>> places;  // how many, the first of them
  for (int i = machine.threads - 1; i >= 0; --i)
    if (const Fiber& fiber = *machine.fibers[static_cast<size_t>(i)]; !fiber.done)
      places[fiber.where].first++, places[fiber.where].second = i;
  char line[240];
  std::snprintf(line, sizeof line, "%s, block (%u,%u,%u): deadlock:", machine.kernel, machine.index.x, machine.index.y, machine.index.z);
  std::string text = line;
  for (const auto& [where, who] : places) {
    std::snprintf(line, sizeof line, " %d in %s (the first is thread %d)", who.first, where.c_str(), who.second);
    text += line;
  }
  return text;
}

void run_block(dim3 index) {
  Machine& m = machine;
  {
    Quiet quiet;
    begin_block(index);
  }
  run_fibers();
  Quiet quiet;
  for (int i = 0; i < m.threads; ++i) {
    [[maybe_unused]] Fiber& fiber = *m.fibers[static_cast<size_t>(i)];
#if EMULATOR_TSAN
    __tsan_destroy_fiber(fiber.tsan);
#endif
  }
  m.current = nullptr;
  if (!m.error.empty()) throw Fault(m.error);
  if (m.live) throw Fault(describe_deadlock());
  check_slack();
}

}  // namespace

void run_grid(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  Machine& m = machine;
  m.kernel = kernel, m.grid = grid, m.block = block, m.body = &body;
  m.threads = static_cast<int>(block.x * block.y * block.z);
  m.shared_bytes = shared_bytes;
  m.random = options.seed * 0x9E3779B97F4A7C15ull | 1;
  grow_pool(static_cast<size_t>(m.threads));
  watch_signals();
  std::vector<unsigned> order(static_cast<size_t>(grid.x) * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0u);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[m.next() % i]);
  for (unsigned b : order) run_block(dim3(b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y)));
  acquire(&m.token);  // the host is after every block; no block is after another
}

void fault(const char* format, ...) {
  char text[512], full[768];
  va_list list;
  va_start(list, format);
  std::vsnprintf(text, sizeof text, format, list);
  va_end(list);
  std::snprintf(full, sizeof full, "%s, block (%u,%u,%u) thread %d: %s", machine.kernel, machine.index.x, machine.index.y, machine.index.z,
                machine.current ? machine.current->linear : -1, text);
  throw Fault(full);
}

}  // namespace emulator
