#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

void fill_operators(Operators& table) { fill_memory(table); }

}  // namespace fedlora::cuda
