/// Products of matrices in double precision.
#pragma once
#include "base/thread_pool.h"
#include "factors/kernels.h"
#include "factors/matrix.h"

namespace fedlora::factors {

/// c += factor · a · b: a [m, k], b [k, n], c [m, n], of any strides; one of c's is 1. The order of every sum depends on the shapes
/// alone, whatever the pool. c overlaps neither. Throws E_MEMORY.
void multiply_add(double factor, ConstView a, ConstView b, View c, ThreadPool* pool = nullptr,
                  const FactorKernels& kernels = factor_kernels());

/// The same for the upper triangle of a square c, row-major; what lies below its diagonal is left as it is or not.
void multiply_add_upper(double factor, ConstView a, ConstView b, View c, ThreadPool* pool = nullptr);

/// r · g · rᵀ for an upper triangular r and a symmetric g, all [n, n]; equal on both sides of its diagonal.
Matrix congruence(const Matrix& r, const Matrix& g, ThreadPool* pool = nullptr);

/// x · xᵀ [m, m] of the rows of x [m, k], equal on both sides of its diagonal.
Matrix gram(ConstView x, ThreadPool* pool = nullptr);

/// a · b as a new matrix.
Matrix product(ConstView a, ConstView b, ThreadPool* pool = nullptr);

}  // namespace fedlora::factors
