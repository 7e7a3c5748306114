/// Helpers of the ops that work row by row: typed access to activations, and loops split over the thread team.
#pragma once
#include <algorithm>
#include <cstdint>

#include "backend/cpu/kernels/kernel_table.h"
#include "backend/ops.h"
#include "base/thread_pool.h"

namespace fedlora {

/// Element `offset` of an activation of element type T; null stays null.
template <class T>
T* as(Activation x, int64_t offset = 0) {
  return x == nullptr ? nullptr : static_cast<T*>(x) + offset;
}
template <class T>
const T* as(ConstActivation x, int64_t offset = 0) {
  return x == nullptr ? nullptr : static_cast<const T*>(x) + offset;
}

/// to = from, rounded to the type of `to`.
inline void round_row(const KernelTable&, const float* from, float* to, int64_t count) { std::copy_n(from, count, to); }
inline void round_row(const KernelTable& kernels, const float* from, bf16* to, int64_t count) { kernels.round_bf16(from, to, count); }

/// Numbers as f32: in place, or in `to`.
inline const float* widen_row(const KernelTable&, const float* from, float*, int64_t) { return from; }
inline const float* widen_row(const KernelTable& kernels, const bf16* from, float* to, int64_t count) {
  kernels.widen_bf16(from, to, count);
  return to;
}

/// Elements that make a task worth handing to another thread.
inline constexpr int64_t task_elements = 16384;

/// Calls body(first, count) over [0, rows) in runs of about `task_elements` elements.
template <class Body>
void each_rows(ThreadPool& pool, int64_t rows, int64_t elements_per_row, const Body& body) {
  const int64_t step = std::max<int64_t>(1, task_elements / std::max<int64_t>(1, elements_per_row));
  pool.run((rows + step - 1) / step, [&](int64_t task, int) {
    const int64_t first = task * step;
    body(first, std::min(step, rows - first));
  });
}

}  // namespace fedlora
