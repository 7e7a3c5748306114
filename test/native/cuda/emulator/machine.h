/// The state of the block that runs: its threads as fibers, what they wait for, what is under way. One block runs at a time.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "vector_types.h"

namespace emulator {

/// One cp.async: `bytes` arrive, `filled` more become zero.
struct Copy {
  void* to;
  const void* from;
  int bytes, filled;
};

/// Accumulators that belong to the tensor cores until their batch was waited for.
struct InFlight {
  float* registers;
  std::vector<float> value;
  uint64_t batch;
};

/// A thread of the block.
struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  int linear = 0;  // x fastest
  dim3 thread;
  bool done = false;
  const char* where = "";                 // what it waits in
  std::vector<Copy> open;                 // cp.async since the last commit
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
  std::vector<int> dirty;                 // 16-byte cells of shared memory it wrote and has not fenced (strict)
  bool wgmma_fenced = false;
  std::vector<InFlight> accumulators;
  void* tsan = nullptr;
  void* asan = nullptr;
};

/// A rendezvous: of a warp, a warpgroup or a named barrier.
struct Meeting {
  int arrived = 0;
  const char* operation = "";
  std::array<void*, 128> arguments{};
  std::vector<Fiber*> waiters;
};

struct MBarrier {
  uint32_t count = 0, pending = 0, phase = 0;
  int64_t bytes = 0;  // announced and not yet arrived; may be negative while a copy is ahead of its announcement
  std::vector<Fiber*> waiters;
};

/// Something that happens later, by no thread: a copy by the TMA.
struct Pending {
  std::function<void()> run;
  void* token;  // orders it after the thread that asked for it
};

/// wgmma batches of one warpgroup, oldest first; each warp finishes its own 16 rows.
struct WarpgroupQueue {
  using Run = std::function<void(int warp)>;
  struct Batch {
    uint64_t number;
    std::vector<Run> run;
    int finished = 0;  // a bit a warp
  };
  std::vector<Run> open;
  std::vector<Batch> committed;
  uint64_t next = 1;
};

constexpr int poison = 0xFF;  // a NaN in f32, f16 and bf16

struct Machine {
  const char* kernel = "";
  dim3 grid, block, index;
  char* shared = nullptr;
  size_t shared_bytes = 0;

  std::vector<std::unique_ptr<Fiber>> fibers;  // a pool; the block uses the first `threads`
  int threads = 0, live = 0;
  Fiber* current = nullptr;                   // null: the host
  std::array<std::vector<Fiber*>, 32> ready;  // of each warp
  uint32_t ready_warps = 0;                   // a bit each that has a ready thread
  std::array<uint32_t, 32> priority{};        // of warps

  std::unordered_map<uint64_t, Meeting> meetings;
  std::unordered_map<uint64_t*, MBarrier> barriers;
  std::vector<Pending> pending;
  std::vector<WarpgroupQueue> warpgroups;
  std::vector<int> register_budget;  // of each warpgroup, as setmaxnreg left it
  std::vector<char> snapshot;        // of shared memory (strict)
  std::vector<int> writer;           // of each 16-byte cell: 1 + the thread whose write is not fenced; 0: none (strict)

  const std::function<void()>* body = nullptr;
  std::string error;
  uint64_t random = 1, switches = 0;
  void *host_pointer = nullptr, *host_tsan = nullptr, *host_asan = nullptr;
  const void* host_bottom = nullptr;
  size_t host_size = 0;
  char token = 0;

  /// xorshift64 (Marsaglia 2003).
  uint32_t next() {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return static_cast<uint32_t>(random >> 32);
  }
};
inline Machine& machine = *new Machine;  // never destroyed: fibers may outlive static destruction

inline int lane() { return machine.current->linear & 31; }
inline int warp() { return machine.current->linear >> 5; }
inline int warpgroup() { return machine.current->linear >> 7; }

}  // namespace emulator
