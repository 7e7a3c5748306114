#include "backend/cuda/launch/rope.h"

#include "backend/cuda/device/rope.cuh"

namespace fedlora::cuda {

void rope(const Queue& queue, int64_t M, int heads, int head_dim, const int32_t* positions, const float* cosine, const float* sine,
          bool inverse, void* x, Element element) {
  if (M == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    by_width(
        [&](auto width) {
          FED_LAUNCH((rope_kernel<width(), T>), dim3(static_cast<unsigned>(M)), dim3(rope_threads), 0, queue.stream, heads, head_dim,
                     positions, cosine, sine, inverse, static_cast<T*>(x));
        },
        head_dim / 2, x, cosine, sine);
  });
}

}  // namespace fedlora::cuda
