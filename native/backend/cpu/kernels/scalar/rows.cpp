/// Kernels over rows and elements, in plain C++.
#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora::scalar {
namespace {
#include "backend/cpu/kernels/simd_scalar.h"

#include "backend/cpu/kernels/generic/rows.inl"
}  // namespace

#include "backend/cpu/kernels/generic/fill_rows.inl"

}  // namespace fedlora::scalar
