#include "wgmma.h"

#include <array>
#include <cstring>
#include <memory>

#include "descriptor.h"
#include "device.h"
#include "numbers.h"
#include "rendezvous.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

constexpr int most_n = 256, k_step = 16;

/// What the threads of a warpgroup brought to one wgmma.
struct Lanes {
  std::array<std::array<uint32_t, 4>, 128> a;
  std::array<Fiber*, 128> fiber;
  std::array<float*, 128> d;
};
struct Instruction {
  int N;
  uint64_t a, b;
  bool a_from_registers, accumulate, trans_a, trans_b;
  bool operator==(const Instruction&) const = default;
};

/// Rows [first, last) of an operand, in runs of 8 elements that lie together: along K, or along M or N.
void load_operand(float* out, uint64_t bits, int first, int last, bool major_k, const char* who) {
  const Descriptor descriptor(bits);
  if (descriptor.base) fault("%s: base offset must be 0 where tiles start at multiples of 1,024", who);
  constexpr int run = 8;
  for (int row = first; row < last; row += major_k ? 1 : run)
    for (int k = 0; k < k_step; k += major_k ? run : 1) {
      const uint32_t offset = descriptor.at(row, k, major_k);
      if (offset % 16 || offset + 16 > machine.shared_bytes)
        fault("%s: the descriptor reaches shared byte %u of %zu", who, offset, machine.shared_bytes);
      check_fenced(offset, who);
      device_access::read(machine.shared + offset, 16);
      uint16_t elements[run];
      std::memcpy(elements, machine.shared + offset, sizeof elements);
      for (int i = 0; i < run; ++i) out[(major_k ? row : row + i) * k_step + (major_k ? k + i : k)] = widen_bf16(elements[i]);
    }
}

/// The layout of m16n8k16's A, for each of the four warps.
void load_a_registers(float* out, const Lanes& lanes, int warp) {
  for (int t = warp * 32; t < warp * 32 + 32; ++t)
    for (int i = 0; i < 4; ++i)
      for (int half = 0; half < 2; ++half) {
        const int row = warp * 16 + t % 32 / 4 + 8 * (i & 1), k = t % 4 * 2 + half + 8 * (i >> 1);
        out[row * k_step + k] = widen_bf16(static_cast<uint16_t>(lanes.a[static_cast<size_t>(t)][static_cast<size_t>(i)] >> (16 * half)));
      }
}

std::vector<float>* accumulators_of(Fiber& fiber, const float* registers) {
  for (InFlight& flight : fiber.accumulators)
    if (flight.registers == registers) return &flight.value;
  return nullptr;
}

/// Adds one row of the product to the accumulators of the four threads that share it.
/// Accumulator i of a thread: row 16·warp + lane/4 + 8·(i/2 % 2), column 8·(i/4) + 2·(lane%4) + i%2.
void add_row(const Lanes& lanes, const Instruction& instruction, int row, const float* sum) {
  for (int q = 0; q < 4; ++q) {
    const auto t = static_cast<size_t>(row / 16 * 32 + row % 8 * 4 + q);
    const int half = row % 16 / 8;
    std::vector<float>* value = accumulators_of(*lanes.fiber[t], lanes.d[t]);
    if (!value) continue;
    for (int j = 0; j < instruction.N / 8; ++j)
      for (int e = 0; e < 2; ++e) {
        float& v = (*value)[static_cast<size_t>(j * 4 + half * 2 + e)];
        v = (instruction.accumulate ? v : 0) + sum[j * 8 + q * 2 + e];
      }
  }
}

/// The 16 rows of one warp.
void multiply(const Lanes& lanes, const Instruction& instruction, int warp) {
  static float A[64 * k_step], B[most_n * k_step], transposed[k_step][most_n];
  const int N = instruction.N, first = warp * 16;
  if (instruction.a_from_registers)
    load_a_registers(A, lanes, warp);
  else
    load_operand(A, instruction.a, first, first + 16, !instruction.trans_a, "wgmma A");
  load_operand(B, instruction.b, 0, N, !instruction.trans_b, "wgmma B");
  Quiet quiet;
  for (int n = 0; n < N; ++n)
    for (int k = 0; k < k_step; ++k) transposed[k][n] = B[n * k_step + k];
  for (int m = first; m < first + 16; ++m) {
    float sum[most_n] = {};
    for (int k = 0; k < k_step; ++k) {
      const float x = A[m * k_step + k];
      for (int n = 0; n < N; ++n) sum[n] += x * transposed[k][n];
    }
    add_row(lanes, instruction, m, sum);
  }
}

uint64_t group_key(Kind kind) { return key_of(kind, static_cast<uint64_t>(warpgroup())); }
WarpgroupQueue& own_queue() { return machine.warpgroups[static_cast<size_t>(warpgroup())]; }

/// From here to the wait the accumulators belong to the tensor cores; what the thread sees is poison.
void take_accumulators(float* d, int N) {
  Quiet quiet;
  Fiber& me = *machine.current;
  for (InFlight& flight : me.accumulators)
    if (flight.registers == d) {
      flight.batch = own_queue().next;
      return;
    }
  me.accumulators.push_back({d, std::vector<float>(d, d + N / 2), own_queue().next});
  std::memset(static_cast<void*>(d), poison, static_cast<size_t>(N) * 2);
}

/// Gives back the accumulators whose last batch this warp has finished.
void return_accumulators(int warp) {
  Quiet quiet;
  Fiber& me = *machine.current;
  WarpgroupQueue& queue = own_queue();
  uint64_t oldest = queue.next;
  for (const auto& batch : queue.committed)
    if (!(batch.finished >> warp & 1)) {
      oldest = batch.number;
      break;
    }
  std::erase_if(me.accumulators, [&](const InFlight& flight) {
    if (flight.batch >= oldest) return false;
    std::memcpy(flight.registers, flight.value.data(), flight.value.size() * sizeof(float));
    return true;
  });
  while (!queue.committed.empty() && queue.committed.front().finished == 15) queue.committed.erase(queue.committed.begin());
}

}  // namespace

void wgmma_fence() {
  need_hopper("wgmma.fence");
  machine.current->wgmma_fenced = true;
}

void wgmma(float* d, int N, uint64_t a, const uint32_t* a_registers, uint64_t b, int accumulate, int trans_a, int trans_b) {
  need_hopper("wgmma");
  Fiber& me = *machine.current;
  if (!me.wgmma_fenced) fault("wgmma without wgmma.fence after the registers were last touched");
  struct Argument {
    float* d;
    std::array<uint32_t, 4> a;
    Instruction instruction;
  } mine{d, {}, {N, a, b, a_registers != nullptr, accumulate != 0, trans_a != 0, trans_b != 0}};
  if (a_registers) std::memcpy(mine.a.data(), a_registers, sizeof mine.a);
  take_accumulators(d, N);
  meet(group_key(Kind::wgmma), 128, me.linear % 128, &mine, "wgmma", Order::memory, [&](void** all) {
    auto lanes = std::make_shared<Lanes>();
    const size_t first = static_cast<size_t>(warpgroup()) * 128;
    for (size_t t = 0; t < 128; ++t) {
      const Argument& argument = *static_cast<Argument*>(all[t]);
      if (argument.instruction != mine.instruction) fault("wgmma: thread %zu of the warpgroup has another descriptor or shape", t);
      lanes->a[t] = argument.a;
      lanes->fiber[t] = machine.fibers[first + t].get();
      lanes->d[t] = argument.d;
    }
    own_queue().open.push_back([lanes, instruction = mine.instruction](int warp) { multiply(*lanes, instruction, warp); });
  });
}

void wgmma_commit() {
  need_hopper("wgmma.commit_group");
  meet(group_key(Kind::wgmma_commit), 128, machine.current->linear % 128, nullptr, "wgmma.commit_group", Order::memory, [&](void**) {
    WarpgroupQueue& queue = own_queue();
    queue.committed.push_back({queue.next++, std::move(queue.open), 0});
    queue.open.clear();
  });
}

// Each warp on its own: that warp 0 is through says nothing about what warp 3 still reads.
void wgmma_wait(int leave) {
  need_hopper("wgmma.wait_group");
  const int in_group = warp() % 4;
  meet(key_of(Kind::wgmma_wait, static_cast<uint64_t>(warp())), 32, lane(), nullptr, "wgmma.wait_group", Order::memory, [&](void**) {
    WarpgroupQueue& queue = own_queue();
    for (size_t i = 0; i + static_cast<size_t>(leave) < queue.committed.size(); ++i) {
      WarpgroupQueue::Batch& batch = queue.committed[i];
      if (batch.finished >> in_group & 1) continue;
      for (const auto& run : batch.run) {
        Heard heard;  // the reads of shared memory count: after the issuing threads, before whoever waits
        run(in_group);
      }
      batch.finished |= 1 << in_group;
    }
  });
  return_accumulators(in_group);
  machine.current->wgmma_fenced = false;
}

void set_registers(int count) {
  need_hopper("setmaxnreg");
  if (count % 8 || count < 24 || count > 256) fault("setmaxnreg: %d; it takes multiples of 8 from 24 to 256", count);
  auto& budget = machine.register_budget;
  budget[static_cast<size_t>(warpgroup())] = count;
  int total = 0;
  for (int registers : budget) total += registers * 128;
  if (total > 65536) fault("setmaxnreg: the warpgroups ask for %d of 65,536 registers", total);
}

}  // namespace emulator
