/// Shuffles and votes of a warp. They order no memory.
#pragma once
#include <cstdint>

#include "fault.h"
#include "rendezvous.h"

namespace emulator {

/// Every lane gets the value of lane pick(lane).
template <class T, class Pick>
T shuffle(uint32_t mask, T value, Pick pick, const char* name) {
  struct Argument {
    T in, out;
  } mine{value, value};
  meet_warp(mask, &mine, name, Order::none, [&](void** all) {
    for (int lane = 0; lane < 32; ++lane) {
      if (!(mask >> lane & 1)) continue;
      const int from = pick(lane);
      if (!(mask >> from & 1)) fault("%s reads lane %d, which is not in the mask", name, from);
      static_cast<Argument*>(all[lane])->out = static_cast<Argument*>(all[from])->in;
    }
  });
  return mine.out;
}

/// A bit for every lane that votes yes.
uint32_t ballot(uint32_t mask, bool vote, const char* name);

/// Where a shuffle within groups of `width` lanes reads; a lane whose source lies outside its group keeps its own value.
inline int shuffle_source(int lane, int offset, int width) {
  const int from = lane + offset;
  return from >= 0 && from / width == lane / width ? from : lane;
}

}  // namespace emulator

template <class T>
T __shfl_sync(uint32_t mask, T value, int from, int width = 32) {
  return emulator::shuffle(mask, value, [=](int lane) { return lane / width * width + (from & (width - 1)); }, "__shfl_sync");
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32) {
  return emulator::shuffle(
      mask, value, [=](int lane) { return emulator::shuffle_source(lane, (lane ^ bits) - lane, width); }, "__shfl_xor_sync");
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, int delta, int width = 32) {
  return emulator::shuffle(mask, value, [=](int lane) { return emulator::shuffle_source(lane, delta, width); }, "__shfl_down_sync");
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, int delta, int width = 32) {
  return emulator::shuffle(mask, value, [=](int lane) { return emulator::shuffle_source(lane, -delta, width); }, "__shfl_up_sync");
}
inline uint32_t __ballot_sync(uint32_t mask, int vote) { return emulator::ballot(mask, vote != 0, "__ballot_sync"); }
inline int __any_sync(uint32_t mask, int vote) { return emulator::ballot(mask, vote != 0, "__any_sync") != 0; }
inline int __all_sync(uint32_t mask, int vote) { return emulator::ballot(mask, vote != 0, "__all_sync") == mask; }
inline void __syncthreads() { emulator::sync_block(); }
inline void __syncwarp(uint32_t mask = ~0u) { emulator::sync_warp(mask); }
