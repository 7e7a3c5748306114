/// Everything collective is a meeting: callers leave a pointer to their arguments, the last one acts for all and wakes the others.
#pragma once
#include <cstdint>
#include <type_traits>

#include "machine.h"

namespace emulator {

/// A reference to what the last one does, given everybody's arguments.
class ForAll {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, ForAll>)
  ForAll(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, void** all) { (*static_cast<std::remove_reference_t<F>*>(object))(all); }) {}
  void operator()(void** all) const { call_(object_, all); }

 private:
  void* object_;
  void (*call_)(void*, void**);
};

/// Who meets: a kind, and which warp, warpgroup or barrier of that kind.
enum class Kind : uint64_t { block, warp, wgmma, wgmma_commit, wgmma_wait, named };
constexpr uint64_t key_of(Kind kind, uint64_t which) { return static_cast<uint64_t>(kind) << 48 | which; }

/// Whether those who met have seen each other's writes.
enum class Order { none, memory };

/// `count` callers meet; `place` says where in `all` the argument stands (−1: nowhere).
void meet(uint64_t key, int count, int place, void* argument, const char* operation, Order order, ForAll last);
/// The lanes of `mask` of the caller's warp meet; all[lane] is a lane's argument.
void meet_warp(uint32_t mask, void* argument, const char* operation, Order order, ForAll last);

void sync_block();
void sync_warp(uint32_t mask);
/// bar.sync id, threads
void sync_named(int id, int threads);
/// bar.arrive id, threads: counts, does not wait.
void arrive_named(int id, int threads);

}  // namespace emulator
