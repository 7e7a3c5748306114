/// The leading directions of a product of factors where they stand out from all the rest.
#pragma once
#include <optional>

#include "factors/multiply.h"

namespace fedlora::factors {

/// M = Lᵀ S by the Gram matrices `along` = L Lᵀ and `across` = S Sᵀ, both [n, n], and square = ‖M‖² > 0. Rows x [rank, n] such that the
/// rows of x S are M's leading right singular vectors to ‖MᵀM v − σ² v‖ ≤ `tolerance` σ_0 σ, or as near as rounding lets them come;
/// rank + 8 ≤ n. Nothing unless the last σ exceeds the 2-norm or the 4-norm of all other singular values: then no other one can be larger,
/// whatever the iteration has seen.
std::optional<Matrix> dominant(const Matrix& along, const Matrix& across, double square, int64_t rank, double tolerance,
                               ThreadPool* pool = nullptr);

}  // namespace fedlora::factors
