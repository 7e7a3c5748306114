/// A kernel launch: its arguments are evaluated once and copied to every thread; it has ended when the launch returns.
#pragma once
#include <cstddef>
#include <tuple>
#include <utility>

#include "block.h"
#include "runtime.h"

namespace emulator {

/// Whether the device would take it; if not, the error that cudaGetLastError gives.
bool accept_launch(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes);

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
            Arguments&&... arguments) {
  if (!accept_launch(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes)) return;
  const std::tuple<Parameters...> held(std::forward<Arguments>(arguments)...);
  run_grid(name, grid, block, shared_bytes, [&] { std::apply([&](const Parameters&... values) { kernel(values...); }, held); });
}

}  // namespace emulator
