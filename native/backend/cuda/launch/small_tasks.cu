#include "backend/cuda/launch/small_tasks.h"

#include <algorithm>

namespace fedlora::cuda {

namespace {

template <class Task>
dim3 grid_of(const TaskList<Task>& tasks) {
  int64_t most = 0;
  for (int i = 0; i < tasks.count; ++i) most = std::max(most, tasks.items[i].elements());
  return dim3(static_cast<unsigned>((most + task_threads - 1) / task_threads), static_cast<unsigned>(tasks.count));
}

}  // namespace

void cast_all(const Queue& queue, Element element, const TaskList<CastTask>& tasks) {
  if (tasks.count == 0) return;
  by_element(element,
             [&](auto zero) { FED_LAUNCH(cast_kernel<decltype(zero)>, grid_of(tasks), dim3(task_threads), 0, queue.stream, tasks); });
}

void join_all(const Queue& queue, const TaskList<JoinTask>& tasks) {
  if (tasks.count > 0) FED_LAUNCH(join_kernel, grid_of(tasks), dim3(task_threads), 0, queue.stream, tasks);
}

}  // namespace fedlora::cuda
