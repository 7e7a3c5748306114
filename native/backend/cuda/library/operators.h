/// The operators of ops.def as the table has them: each takes a context and the arguments of its signature as `Wire` makes them, stages
/// what lies in host memory and calls its launch function. One file a family; a family puts its own into the table.
#pragma once
#include "backend/cuda/abi.h"

namespace fedlora::cuda {

void fill_operators(Operators& table);

}  // namespace fedlora::cuda
