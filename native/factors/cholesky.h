/// Triangular factors of Gram matrices.
#pragma once
#include "factors/multiply.h"

namespace fedlora::factors {

/// Upper triangular u, uᵀ u = g + δ I, of a symmetric positive semidefinite g [n, n], to c(n) · eps · max g(i, i). δ is 0 where rounding
/// lets g be definite, and otherwise of the order n · eps · max g(i, i). NaN when g is not finite.
Matrix cholesky(const Matrix& g, ThreadPool* pool = nullptr);

}  // namespace fedlora::factors
