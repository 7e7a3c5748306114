/// Lists of small tasks, a launch a list (device/small_tasks.cuh). An empty list launches nothing.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/device/small_tasks.cuh"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

void cast_all(const Queue& queue, Element element, const TaskList<CastTask>& tasks);
void join_all(const Queue& queue, const TaskList<JoinTask>& tasks);

}  // namespace fedlora::cuda
