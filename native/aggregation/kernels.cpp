// The loops of the exact sum, written once and compiled per instruction set.
#include "aggregation/kernels.h"

#include <bit>

#include "aggregation/together_avx512.h"
#include "base/inline.h"
#include "base/target.h"
#include "compression/wire.h"

namespace fedlora {

namespace {
/// Adding 1.5 · 2^52 to a double of magnitude below 2^51 rounds it to an integer, which then stands in the low bits of the sum.
constexpr double rounder = 0x1.8p52;
constexpr int64_t rounder_bits = std::bit_cast<int64_t>(rounder);

FEDLORA_INLINE int64_t integer(double rounded) { return std::bit_cast<int64_t>(rounded) - rounder_bits; }

/// Exact conversion of an integer below 2^62 held in a double. Without a vector instruction for it, in two halves.
template <bool converts>
FEDLORA_INLINE int64_t wide_integer(double x) {
  if constexpr (converts) return static_cast<int64_t>(x);
  const double high = x * 0x1p-32 + rounder;
  const double rest = x - (high - rounder) * 0x1p32;
  return static_cast<int64_t>(static_cast<uint64_t>(integer(high)) << 32) + integer(rest + rounder);
}

template <bool converts>
FEDLORA_INLINE void add_single_body(int64_t* __restrict low, const float* __restrict values, int64_t count, double factor) {
  for (int64_t i = 0; i < count; ++i) low[i] += wide_integer<converts>(static_cast<double>(values[i]) * factor);
}

FEDLORA_INLINE void add_codes_body(int64_t* __restrict low, const int8_t* __restrict codes, const int64_t* __restrict factors,
                                   int64_t count) {
  int64_t done = 0;
  for (; done + update_block <= count; done += update_block) {
    const int64_t factor = factors[done / update_block];
    for (int64_t i = done; i < done + update_block; ++i) low[i] += codes[i] * factor;
  }
  for (; done < count; ++done) low[done] += codes[done] * factors[done / update_block];
}

FEDLORA_INLINE void add_pair_body(int64_t* __restrict low, int64_t* __restrict high, const float* __restrict values, int64_t count,
                                  double factor) {
  for (int64_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(values[i]) * factor;
    const double upper = x * 0x1p-45 + rounder;
    const double rest = x - (upper - rounder) * 0x1p45;
    high[i] += integer(upper);
    low[i] += integer(rest + rounder);
  }
}

FEDLORA_INLINE void mean_single_body(const int64_t* __restrict low, int64_t count, double unit, double total_weight,
                                     float* __restrict means) {
  for (int64_t i = 0; i < count; ++i) means[i] = static_cast<float>(static_cast<double>(low[i]) * unit / total_weight);
}
}  // namespace

#define FEDLORA_SUM_TABLE(level, attribute, isa_level, converts)                                                                      \
  namespace sum_##level {                                                                                                             \
    attribute static void add_single(int64_t* l, const float* v, int64_t n, double f) { add_single_body<converts>(l, v, n, f); }      \
    attribute static void add_codes(int64_t* l, const int8_t* c, const int64_t* f, int64_t n) { add_codes_body(l, c, f, n); }         \
    attribute static void add_pair(int64_t* l, int64_t* h, const float* v, int64_t n, double f) { add_pair_body(l, h, v, n, f); }     \
    attribute static void mean_single(const int64_t* l, int64_t n, double u, double w, float* m) { mean_single_body(l, n, u, w, m); } \
    static const SumKernels table{isa_level, add_single, add_codes, add_pair, mean_single, nullptr, nullptr, nullptr};                \
  }

// arm64 has NEON in its floor, and in it the conversion: one table serves its levels.
#if defined(__aarch64__)
constexpr bool floor_converts = true;
#else
constexpr bool floor_converts = false;
#endif
FEDLORA_SUM_TABLE(scalar, , Isa::scalar, floor_converts)
#if defined(__x86_64__)
FEDLORA_SUM_TABLE(avx2, FEDLORA_TARGET(FEDLORA_AVX2), Isa::avx2, false)
FEDLORA_SUM_TABLE(avx512, FEDLORA_TARGET(FEDLORA_AVX512), Isa::avx512bf16, true)
#endif

const SumKernels& sum_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512bf16) {
    static const SumKernels together = with_kernels_together(sum_avx512::table);
    return together;
  }
  if (isa == Isa::avx2) return sum_avx2::table;
#endif
  (void)isa;
  return sum_scalar::table;
}

const SumKernels& sum_kernels() {
  static const SumKernels& chosen = sum_kernels(select_isa());
  return chosen;
}

}  // namespace fedlora
