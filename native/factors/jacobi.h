/// Singular values and vectors of a small matrix.
#pragma once
#include <vector>

#include "factors/matrix.h"

namespace fedlora::factors {

/// x = Σ_i values[i] · left.row(i)ᵀ · right.row(i), values descending.
struct Svd {
  std::vector<double> values;
  Matrix left, right;  // orthonormal rows [n, rows of x] and [n, columns of x]; a row of `left` is zero where its value is 0
};

/// x [m, n], m ≥ n; one-sided Jacobi: small singular values are as exact as the columns of x let them be. Throws E_INTERNAL when it does
/// not converge, which takes values that are not finite.
Svd jacobi_svd(ConstView x);

}  // namespace fedlora::factors
