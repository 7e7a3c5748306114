/// Small plain tensors of a checkpoint as float32.
#pragma once
#include <string>
#include <vector>

#include "tensor/source.h"

namespace fedlora {

/// Every element of a F32, F16, BF16 or F64 tensor; E_DTYPE for other types, E_NONFINITE naming the index of a NaN or infinity.
std::vector<float> read_vector(const TensorSource& source, const std::string& name);

/// True when two tensors have one shape and, as numbers, the same elements, whatever their types.
bool same_values(const TensorSource& source, const std::string& a, const std::string& b);

}  // namespace fedlora
