/// QR of a tall matrix by blocked Householder reflections.
#pragma once
#include "factors/multiply.h"

namespace fedlora::factors {

/// x = Q · R, x [m, n], m ≥ n, Q [m, n] with orthonormal columns, R [n, n] upper triangular. Columns lie in memory as rows: what is
/// handed over is xᵀ [n, m]. Backward stable for any rank: ‖x − QR‖ ≤ c(m, n) · eps · ‖x‖.
class TallQr {
 public:
  explicit TallQr(Matrix columns, ThreadPool* pool = nullptr);

  /// R [n, n].
  Matrix r() const;
  /// Rows c Qᵀ for the rows c of `coefficients` [k, n]: the columns Q·cᵀ, as rows [k, m].
  Matrix expand(ConstView coefficients, ThreadPool* pool = nullptr) const;

 private:
  void factor_panel(int64_t first, int64_t width);
  /// The reflections of a panel as rows, with their ones and zeros: [width, m − first].
  Matrix reflectors(int64_t first, int64_t width) const;

  Matrix columns_;  // row j: R's column j up to its diagonal, then the reflection's tail; its one is not stored
  Matrix blocks_;   // rows of a panel: T of I − V T Vᵀ (compact WY), upper triangular
};

}  // namespace fedlora::factors
