/// The factors of a sum side by side, as the algebra works on them.
#pragma once
#include "factors/factored.h"

namespace fedlora::factors {

/// In units of powers of two, so that squares neither overflow nor vanish; scales and weights are in `b`. M = unit · bᵀ · a.
struct Stacks {
  Matrix b;  // columns of all B as rows [R, out]
  Matrix a;  // rows of all A [R, in]
  double unit = 1;
};

/// Terms of scale 0 are left out: R = sum.rank().
Stacks stack(const FactoredSum& sum, ThreadPool* pool);

/// Whether M is smaller than its factors.
inline bool smaller_dense(const FactoredSum& sum) { return sum.rank() > std::min(sum.out, sum.in); }

/// √Σ x².
double norm(const Matrix& x);

}  // namespace fedlora::factors
