/// An operator with its shapes, for the text of a failure: "rms_norm_forward(M 7, K 64)".
#pragma once
#include <concepts>
#include <initializer_list>
#include <string>

#include "backend/cuda/abi.h"

namespace fedlora::cuda {

inline constexpr long long no_shape = -1;

/// The number that says how large an argument makes the work; no_shape for the others.
template <class T>
long long shape_of(const T&) {
  return no_shape;
}
template <std::integral T>
  requires(!std::same_as<T, bool>)
long long shape_of(const T& value) {
  return static_cast<long long>(value);
}
template <class T>
long long shape_of(const View<T>& view) {
  return view.size;
}

/// `arguments` as they stand in ops.def, with the names of those that have a shape.
std::string describe_call(const char* name, const char* arguments, std::initializer_list<long long> shapes);

/// The arguments of an operator as they stand in ops.def.
const char* arguments_of(const char* name);

}  // namespace fedlora::cuda
