#include "backend/cuda/launch/glu.h"

#include "backend/cuda/device/glu.cuh"

namespace fedlora::cuda {

namespace {

dim3 grid_of(int64_t count, int width) {
  const int64_t each = int64_t{glu_block} * width;
  return dim3(static_cast<unsigned>((count + each - 1) / each));
}

/// body(T{}, kind as a type) for the element and the activation.
template <class Body>
void by_kind(Activate kind, Element element, const Body& body) {
  by_element(element, [&](auto zero) {
    if (kind == Activate::silu) body(zero, std::integral_constant<Activate, Activate::silu>());
    if (kind == Activate::gelu_tanh) body(zero, std::integral_constant<Activate, Activate::gelu_tanh>());
    if (kind == Activate::relu) body(zero, std::integral_constant<Activate, Activate::relu>());
  });
}

}  // namespace

void glu_forward(const Queue& queue, Activate kind, int64_t count, const void* gate, const void* up, void* h, Element element) {
  if (count == 0) return;
  by_kind(kind, element, [&](auto zero, auto which) {
    using T = decltype(zero);
    by_width(
        [&](auto width) {
          FED_LAUNCH((glu_forward_kernel<decltype(which)::value, width(), T>), grid_of(count, width()), dim3(glu_threads), 0, queue.stream,
                     count, static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(h));
        },
        count, gate, up, h);
  });
}

void glu_backward(const Queue& queue, Activate kind, int64_t count, const void* gate, const void* up, const void* d_h, void* d_gate,
                  void* d_up, void* h, Element element) {
  if (count == 0) return;
  by_kind(kind, element, [&](auto zero, auto which) {
    using T = decltype(zero);
    by_width(
        [&](auto width) {
          FED_LAUNCH((glu_backward_kernel<decltype(which)::value, width(), T>), grid_of(count, width()), dim3(glu_threads), 0, queue.stream,
                     count, static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<const T*>(d_h), static_cast<T*>(d_gate),
                     static_cast<T*>(d_up), static_cast<T*>(h));
        },
        count, gate, up, d_h, d_gate, d_up, h);
  });
}

}  // namespace fedlora::cuda
