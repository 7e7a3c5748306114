#include "warp.h"

namespace emulator {

uint32_t ballot(uint32_t mask, bool vote, const char* name) {
  struct Argument {
    bool in;
    uint32_t out;
  } mine{vote, 0};
  meet_warp(mask, &mine, name, Order::none, [&](void** all) {
    uint32_t bits = 0;
    for (int lane = 0; lane < 32; ++lane)
      if ((mask >> lane & 1) && static_cast<Argument*>(all[lane])->in) bits |= 1u << lane;
    for (int lane = 0; lane < 32; ++lane)
      if (mask >> lane & 1) static_cast<Argument*>(all[lane])->out = bits;
  });
  return mine.out;
}

}  // namespace emulator
