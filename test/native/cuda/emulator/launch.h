/// A kernel launch: its arguments are evaluated once and copied to every thread; it has ended when the launch returns.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "block.h"
#include "device_memory.h"
#include "fault.h"
#include "runtime.h"

namespace emulator {

/// Runs the grid if the device would take it; else cudaGetLastError says why not.
void try_grid(const char* name, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

/// An argument that is a pointer must point to what the device reaches. Pointers inside structs are not looked at.
template <class T>
void check_argument(const char* kernel, int position, const T& value) {
  if constexpr (std::is_pointer_v<T>)
    if (!reachable(value))
      throw Fault(std::string(kernel) + ": argument " + std::to_string(position) + " is a pointer to memory of the host");
}

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
            Arguments&&... arguments) {
  const std::tuple<Parameters...> held(std::forward<Arguments>(arguments)...);
  const std::function<void()> body = [&] { std::apply([&](const Parameters&... values) { kernel(values...); }, held); };
  int position = 0;
  std::apply([&](const Parameters&... values) { (check_argument(name, ++position, values), ...); }, held);
  try_grid(name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, body);
}

}  // namespace emulator
