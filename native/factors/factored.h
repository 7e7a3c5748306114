/// Sums of low-rank products M = Σ scale · B · A [out, in], the change of a weight that adapters stand for, without forming M where it is
/// larger than its factors: norms, singular values and the best approximation of a lower rank, in double precision.
#pragma once
#include <optional>
#include <vector>

#include "factors/jacobi.h"
#include "factors/qr.h"

namespace fedlora::factors {

/// A caller's matrix where it lies, row-major, of float or double.
struct Values {
  const float* single = nullptr;
  const double* wide = nullptr;
  double operator[](int64_t i) const { return single ? static_cast<double>(single[i]) : wide[i]; }
};

/// scale · B · diag(weights) · A: B [out, rank], A [rank, in], weights [rank], ones when empty.
struct Term {
  Values b, a;
  int64_t rank = 0;
  double scale = 1;
  std::vector<double> weights = {};
  double weight(int64_t r) const { return weights.empty() ? scale : scale * weights[static_cast<size_t>(r)]; }
};

struct FactoredSum {
  int64_t out = 0, in = 0;
  std::vector<Term> terms;
  /// Σ rank.
  int64_t rank() const;
};

/// The factors of all terms side by side: B [out, Σ rank] as they are, A [Σ rank, in] with their weights, so that M = B · A.
struct Beside {
  Matrix b, a;
};
Beside beside(const FactoredSum& sum);

/// M itself [out, in].
Matrix dense(const FactoredSum& sum, ThreadPool* pool = nullptr);

/// ‖M‖ of Frobenius.
double frobenius(const FactoredSum& sum, ThreadPool* pool = nullptr);

/// The leading singular triplets of M, and all its singular values; zero rows where M has no more.
struct Leading {
  Matrix left;                 // rows U [rank, out]
  Matrix right;                // rows V [rank, in]
  std::vector<double> values;  // descending, min(out, in) of them
};

/// Eckart and Young: Σ_{i < rank} values[i] · U_i ⊗ V_i is the nearest matrix of that rank. rank ≤ min(out, in).
Leading leading(const FactoredSum& sum, int64_t rank, ThreadPool* pool = nullptr);

}  // namespace fedlora::factors
