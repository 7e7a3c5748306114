/// Sums of low-rank products M = Σ scale · B · A [out, in], the change of a weight that adapters stand for, without forming M where it is
/// larger than its factors: norms, singular values and the best approximation of a lower rank, in double precision.
#pragma once
#include <vector>

#include "factors/multiply.h"

namespace fedlora::factors {

/// A caller's matrix where it lies, row-major, of float or double.
struct Values {
  const float* single = nullptr;
  const double* wide = nullptr;
  double operator[](int64_t i) const { return single ? static_cast<double>(single[i]) : wide[i]; }
  /// Calls `body` with the pointer that is there.
  auto visit(const auto& body) const { return single ? body(single) : body(wide); }
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

/// All min(out, in) singular values of M, descending, to c · eps · ‖M‖.
std::vector<double> singular_values(const FactoredSum& sum, ThreadPool* pool = nullptr);

/// The leading singular triplets of M; zero rows where M has no more.
struct Leading {
  Matrix left;                 // rows U [rank, out]
  Matrix right;                // rows V [rank, in]
  std::vector<double> values;  // [rank], descending
  double norm;                 // ‖M‖
  double rest;                 // ‖M − Σ values[i] · U_i ⊗ V_i‖
};

/// Eckart and Young: Σ_{i < rank} values[i] · U_i ⊗ V_i is the nearest matrix of that rank.
Leading leading(const FactoredSum& sum, int64_t rank, ThreadPool* pool = nullptr);

}  // namespace fedlora::factors
