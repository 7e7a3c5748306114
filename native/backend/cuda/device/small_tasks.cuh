/// What the adapters of one call need for each of their factors, all of it in one launch: a kernel of a few microseconds each would cost
/// more to begin than to run. Grid: (blocks of the largest task, tasks), a thread an element.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

constexpr int task_threads = 256, most_tasks = 12;

template <class Task>
struct TaskList {
  Task items[most_tasks];
  int count = 0;
  void add(const Task& task) { items[count++] = task; }
};

/// out [rows, columns] = factor·from [rows, columns], or `turned` factor·fromᵀ of [columns, rows]; rows of out are `stride` apart and
/// filled up with zeros.
struct CastTask {
  int64_t rows, columns, stride;
  float factor;
  bool turned;
  const float* from;
  void* out;
  int64_t elements() const { return rows * stride; }
};

template <class T>
__global__ void __launch_bounds__(task_threads) cast_kernel(const __grid_constant__ TaskList<CastTask> tasks) {
  const CastTask& task = tasks.items[blockIdx.y];
  const int64_t i = static_cast<int64_t>(blockIdx.x) * task_threads + threadIdx.x;
  if (i >= task.rows * task.stride) return;
  const int64_t row = i / task.stride, column = i % task.stride;
  const int64_t at = task.turned ? column * task.rows + row : row * task.columns + column;
  store(static_cast<T*>(task.out) + i, column < task.columns ? task.factor * task.from[at] : 0.0f);
}

/// The sum of `slices` parts [rows, columns], in order: to bf16, rows of out `stride` apart; or, `adds`, factor times it added to f32,
/// dense.
struct JoinTask {
  int64_t rows, columns;
  int slices;
  const float* parts;
  void* out;
  int64_t stride;
  bool adds;
  float factor;
  int64_t elements() const { return rows * columns; }
};

[[maybe_unused]] static __global__ void __launch_bounds__(task_threads) join_kernel(const __grid_constant__ TaskList<JoinTask> tasks) {
  const JoinTask& task = tasks.items[blockIdx.y];
  const int64_t count = task.rows * task.columns, i = static_cast<int64_t>(blockIdx.x) * task_threads + threadIdx.x;
  if (i >= count) return;
  float sum = 0;
  for (int slice = 0; slice < task.slices; ++slice) sum += task.parts[slice * count + i];
  if (task.adds)
    static_cast<float*>(task.out)[i] += task.factor * sum;
  else
    store(static_cast<bf16*>(task.out) + i / task.columns * task.stride + i % task.columns, sum);
}

}  // namespace fedlora::cuda
