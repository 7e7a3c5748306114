/// x[m,:] = multiplier × table[ids[m],:], split by rows.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::embedding_forward(std::span<const int32_t> ids, const Matrix& table, float multiplier, float* x) {
  const int64_t K = table.K;
  each_rows(pool_, static_cast<int64_t>(ids.size()), K, [&](int64_t first, int64_t count) {
    for (int64_t m = first; m < first + count; ++m) {
      const int64_t offset = static_cast<int64_t>(ids[m]) * K;
      if (table.format == Format::f32) {
        of<float>(kernels_).scale_row(reinterpret_cast<const float*>(table.data.data()) + offset, multiplier, x + m * K, K);
      } else if (table.format == Format::bf16) {
        of<bf16>(kernels_).scale_row(reinterpret_cast<const bf16*>(table.data.data()) + offset, multiplier, x + m * K, K);
      } else {
        const f16* row = reinterpret_cast<const f16*>(table.data.data()) + offset;
        for (int64_t k = 0; k < K; ++k) x[m * K + k] = to_f32(row[k]) * multiplier;
      }
    }
  });
}

void CpuBackend::embedding_add(std::span<const int32_t> ids, const Matrix& table, float* x) {
  const int64_t K = table.K;
  each_rows(pool_, static_cast<int64_t>(ids.size()), K, [&](int64_t first, int64_t count) {
    for (int64_t m = first; m < first + count; ++m) {
      const int64_t offset = static_cast<int64_t>(ids[static_cast<size_t>(m)]) * K;
      if (table.format == Format::f32) {
        of<float>(kernels_).add_row(reinterpret_cast<const float*>(table.data.data()) + offset, x + m * K, K);
      } else if (table.format == Format::bf16) {
        of<bf16>(kernels_).add_row(reinterpret_cast<const bf16*>(table.data.data()) + offset, x + m * K, K);
      } else {
        const f16* row = reinterpret_cast<const f16*>(table.data.data()) + offset;
        for (int64_t k = 0; k < K; ++k) x[m * K + k] += to_f32(row[k]);
      }
    }
  });
}

}  // namespace fedlora
