#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

void fill_operators(Operators&) {}

}  // namespace fedlora::cuda
