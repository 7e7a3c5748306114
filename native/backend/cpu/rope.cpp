/// Rotary positions, split by rows.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::rope(int64_t M, int heads, int head_dim, int rotary_dim, std::span<const int32_t> positions, const float* cosine,
                      const float* sine, bool inverse, Activation x) {
  const int64_t width = static_cast<int64_t>(heads) * head_dim;
  const float sign = inverse ? -1.0f : 1.0f;
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, M, width, [&](int64_t first, int64_t count) {
      kernels.rope(count, heads, head_dim, rotary_dim, positions.data() + first, cosine, sine, sign, as<T>(x, first * width));
    });
  });
}

}  // namespace fedlora
