#include "ref/embedding_ref.h"

namespace fedlora::ref {

template <class Real>
void embedding_forward(std::span<const int32_t> ids, int64_t K, const Real* table, double multiplier, Real* x) {
  for (size_t m = 0; m < ids.size(); ++m)
    for (int64_t k = 0; k < K; ++k)
      x[static_cast<int64_t>(m) * K + k] = static_cast<Real>(multiplier * static_cast<double>(table[ids[m] * K + k]));
}

template void embedding_forward(std::span<const int32_t>, int64_t, const float*, double, float*);
template void embedding_forward(std::span<const int32_t>, int64_t, const double*, double, double*);

}  // namespace fedlora::ref
