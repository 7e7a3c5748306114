/// A sum of low-rank products reduced to a small square core by orthogonal factors.
#pragma once
#include <optional>

#include "factors/jacobi.h"
#include "factors/qr.h"
#include "factors/stacks.h"

namespace fedlora::factors {

/// M = unit · Q_left · core · Q_rightᵀ; a side without a QR is the identity.
struct Core {
  Matrix core;
  std::optional<TallQr> left, right;
  double unit;
};

/// Backward stable. sum.rank() ≥ 1.
Core reduce(const FactoredSum& sum, ThreadPool* pool);

/// The first `count` rows of x, on which `side` acts.
Matrix expand(const std::optional<TallQr>& side, const Matrix& x, int64_t count, ThreadPool* pool);

}  // namespace fedlora::factors
