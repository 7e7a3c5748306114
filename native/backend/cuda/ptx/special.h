/// Functions of the special function unit.
#pragma once
#include <cmath>

#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

/// 2^x within 2 units in the last place; below the normal numbers 0. 0 at −∞, NaN stays.
#if defined(__CUDACC__)
DEV float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
DEV float exp2_approximate(float x) { return exp2f(x); }
#endif

}  // namespace fedlora::cuda
