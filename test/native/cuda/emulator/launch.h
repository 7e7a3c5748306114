/// A kernel launch: its arguments are evaluated once and copied to every thread; it has ended when the launch returns.
#pragma once
#include <cstddef>
#include <functional>
#include <tuple>
#include <utility>

#include "block.h"
#include "runtime.h"

namespace emulator {

/// Runs the grid if the device would take it; else cudaGetLastError says why not.
void try_grid(const char* name, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
            Arguments&&... arguments) {
  const std::tuple<Parameters...> held(std::forward<Arguments>(arguments)...);
  try_grid(name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
           [&] { std::apply([&](const Parameters&... values) { kernel(values...); }, held); });
}

}  // namespace emulator
