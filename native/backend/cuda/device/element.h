/// The element type of an activation on the device, and the step from its name to the type itself.
#pragma once
#include "base/half.h"

namespace fedlora::cuda {

using fedlora::bf16;

enum class Element { f32, bf16 };

constexpr int width_of(Element element) { return element == Element::f32 ? 4 : 2; }

/// body(T{}) with T = float or bf16: how a launch function picks the kernel's instance.
template <class Body>
void by_element(Element element, Body&& body) {
  if (element == Element::f32)
    body(float{});
  else
    body(bf16{});
}

}  // namespace fedlora::cuda
