/// What only moves numbers: rows picked out of an activation and put back, split by rows; the residual stream kept and begun.
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::gather_rows(int64_t K, std::span<const int32_t> rows, ConstActivation x, Activation out) {
  const int64_t bytes = K * activation_width(compute_);
  each_rows(pool_, static_cast<int64_t>(rows.size()), K, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i)
      std::memcpy(as<char>(out, i * bytes), as<char>(x, rows[i] * bytes), static_cast<size_t>(bytes));
  });
}

void CpuBackend::scatter_rows(int64_t M, int64_t K, std::span<const int32_t> rows, ConstActivation in, Activation x) {
  const int64_t bytes = K * activation_width(compute_);
  each_rows(pool_, M, K,
            [&](int64_t first, int64_t count) { std::memset(as<char>(x, first * bytes), 0, static_cast<size_t>(count * bytes)); });
  each_rows(pool_, static_cast<int64_t>(rows.size()), K, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i)
      std::memcpy(as<char>(x, rows[i] * bytes), as<char>(in, i * bytes), static_cast<size_t>(bytes));
  });
}

void CpuBackend::copy(int64_t count, const float* from, float* to) { std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float)); }

void CpuBackend::zero(int64_t count, float* x) { std::memset(x, 0, static_cast<size_t>(count) * sizeof(float)); }

}  // namespace fedlora
