#include "rendezvous.h"

#include <cstring>

#include "fault.h"
#include "options.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

constexpr auto nothing = [](void**) {};

/// Counts the caller in; true: it is the last.
bool enter(Meeting& meeting, int count, int place, void* argument, const char* operation) {
  Quiet quiet;
  if (options.strict) note_writes();
  if (meeting.arrived && meeting.operation != operation && std::strcmp(meeting.operation, operation) != 0)
    fault("does %s while its neighbours do %s", operation, meeting.operation);
  meeting.operation = operation;
  if (place >= 0) meeting.arguments[static_cast<size_t>(place)] = argument;
  return ++meeting.arrived >= count;
}

void finish(Meeting& meeting, ForAll last) {
  Quiet quiet;
  last(meeting.arguments.data());
  meeting.arrived = 0;
  wake(meeting.waiters);
}

Meeting& meeting_of(uint64_t key) {
  Quiet quiet;
  return machine.meetings[key];
}

void check_named(int id, int threads, const char* operation) {
  if (id < 1 || id > 15) fault("%s: barrier %d; 0 is __syncthreads', 1 to 15 are the kernel's", operation, id);
  if (threads % 32 || threads < 32 || threads > machine.threads) fault("%s: %d threads of %d", operation, threads, machine.threads);
}

}  // namespace

void meet(uint64_t key, int count, int place, void* argument, const char* operation, Order order, ForAll last) {
  Meeting& meeting = meeting_of(key);
  const bool complete = enter(meeting, count, place, argument, operation);
  if (order == Order::memory) release(&meeting);
  if (complete) {
    if (order == Order::memory) acquire(&meeting);
    finish(meeting, last);
    if (order == Order::memory) release(&meeting);
  } else {
    wait_in(meeting.waiters, operation);
  }
  if (order == Order::memory) acquire(&meeting);
}

void meet_warp(uint32_t mask, void* argument, const char* operation, Order order, ForAll last) {
  if (!(mask >> lane() & 1)) fault("%s with a mask that leaves the caller out", operation);
  const uint64_t key = key_of(Kind::warp, static_cast<uint64_t>(warp()) << 32 | mask);
  meet(key, __builtin_popcount(mask), lane(), argument, operation, order, last);
}

void sync_block() { meet(key_of(Kind::block, 0), machine.live, -1, nullptr, "__syncthreads", Order::memory, nothing); }

void sync_warp(uint32_t mask) { meet_warp(mask, nullptr, "__syncwarp", Order::memory, nothing); }

void sync_named(int id, int threads) {
  check_named(id, threads, "bar.sync");
  meet(key_of(Kind::named, static_cast<uint64_t>(id)), threads, -1, nullptr, "bar.sync", Order::memory, nothing);
  perhaps_yield();
}

void arrive_named(int id, int threads) {
  check_named(id, threads, "bar.arrive");
  Meeting& meeting = meeting_of(key_of(Kind::named, static_cast<uint64_t>(id)));
  const bool complete = enter(meeting, threads, -1, nullptr, "bar.sync");
  release(&meeting);
  if (complete) finish(meeting, nothing);
  perhaps_yield();
}

}  // namespace emulator
