/// The leading eigenvectors of a symmetric matrix.
#pragma once
#include "factors/multiply.h"

namespace fedlora::factors {

/// Orthonormal rows [rank, n] that span the eigenvectors of the `rank` largest eigenvalues of h [n, n], rank ≤ n, from the largest on, as
/// far as rounding tells them apart: h v = λ v to c(n) · eps · ‖h‖. h is overwritten.
Matrix leading_eigenvectors(Matrix h, int64_t rank, ThreadPool* pool = nullptr);

}  // namespace fedlora::factors
