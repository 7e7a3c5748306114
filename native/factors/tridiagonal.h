/// Symmetric tridiagonal matrices: leading eigenvalues and eigenvectors.
#pragma once
#include <vector>

#include "factors/matrix.h"

namespace fedlora::factors {

struct Tridiagonal {
  std::vector<double> diagonal;  // [n]
  std::vector<double> beside;    // [n], beside[i] = t(i, i+1), the last unused
};

/// The `rank` largest eigenvalues, descending, to c(n) · eps · ‖t‖.
std::vector<double> leading_eigenvalues(const Tridiagonal& t, int64_t rank);

/// Their eigenvectors, orthonormal rows [rank, n].
Matrix leading_eigenvectors(const Tridiagonal& t, int64_t rank);

}  // namespace fedlora::factors
