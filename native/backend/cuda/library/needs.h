/// What the library holds itself while a pass runs, from shapes alone: the memory plan is exact.
#pragma once
#include "backend/cuda/library/context.h"

namespace fedlora::cuda {

/// `scratch`: the staging ring and the workspace of the operator that needs most; `loss`: what linear_cross_entropy needs beyond that.
OwnBytes needs(const Context& context, const PassSize& pass);

}  // namespace fedlora::cuda
