/// Kernels of the linear layers, in plain C++.
#include "backend/cpu/kernels/kernel_table.h"
#include "quant/matrix.h"

namespace fedlora::scalar {
namespace {
#include "backend/cpu/kernels/simd_scalar.h"

#include "backend/cpu/kernels/generic/linear.inl"
}  // namespace

#include "backend/cpu/kernels/generic/fill_linear.inl"

}  // namespace fedlora::scalar
