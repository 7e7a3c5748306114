// A task is 16 blocks of 512 elements of all vectors: a block is widened to double once, then each vector meets four others at a time, with
// eight running sums each. Squares are summed as they are, never as ‖x‖² + ‖y‖² − 2xy, which cancels.
#include "vectors/pairs.h"

#include <algorithm>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/inline.h"
#include "base/target.h"

namespace fedlora {

namespace {
constexpr size_t block = 512, task_blocks = 16, lanes = 8, together = 4;

enum class Pair { distance, product };

/// out[j] += Σ f(x, y_j) over a block; each y follows the one before at a distance of `block`.
template <Pair pair, size_t count>
FEDLORA_INLINE void meet(const double* __restrict x, const double* __restrict y, double* __restrict out) {
  double sums[count][lanes] = {};
  for (size_t i = 0; i < block; i += lanes)
    for (size_t j = 0; j < count; ++j)
      for (size_t lane = 0; lane < lanes; ++lane) {
        const double a = x[i + lane], b = y[j * block + i + lane], d = a - b;
        sums[j][lane] += pair == Pair::distance ? d * d : a * b;
      }
  for (size_t j = 0; j < count; ++j) {
    const double* s = sums[j];
    out[j] += ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
  }
}

/// Adds the pairs j ≥ i of a block of n vectors to the upper triangle of out.
template <Pair pair>
FEDLORA_INLINE void meet_all(const double* values, size_t n, double* out) {
  for (size_t i = 0; i < n; ++i) {
    size_t j = pair == Pair::distance ? i + 1 : i;
    for (; j + together <= n; j += together) meet<pair, together>(values + i * block, values + j * block, out + i * n + j);
    for (; j < n; ++j) meet<pair, 1>(values + i * block, values + j * block, out + i * n + j);
  }
}

using MeetAll = void (*)(const double* values, size_t n, double* out);

struct PairKernels {
  MeetAll distance, product;
};

#define FEDLORA_PAIRS(level, attribute)                                                                                \
  namespace pairs_##level {                                                                                            \
    attribute void distance(const double* values, size_t n, double* out) { meet_all<Pair::distance>(values, n, out); } \
    attribute void product(const double* values, size_t n, double* out) { meet_all<Pair::product>(values, n, out); }   \
  }

FEDLORA_PAIRS(scalar, )
#if defined(__x86_64__)
FEDLORA_PAIRS(avx2, FEDLORA_TARGET(FEDLORA_AVX2))
FEDLORA_PAIRS(avx512, FEDLORA_TARGET(FEDLORA_AVX512))
#endif

PairKernels kernels() {
#if defined(__x86_64__)
  const Isa isa = select_isa();
  if (isa == Isa::avx512bf16) return {pairs_avx512::distance, pairs_avx512::product};
  if (isa == Isa::avx2) return {pairs_avx2::distance, pairs_avx2::product};
#endif
  return {pairs_scalar::distance, pairs_scalar::product};
}

/// Elements [begin, begin + block) in double, less the centre's; zeros behind the end.
template <class T>
void widen(std::span<const T> vector, std::span<const T> centre, size_t begin, double* out) {
  const size_t count = std::min(block, vector.size() - begin);
  if (centre.empty())
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<double>(vector[begin + i]);
  else
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<double>(vector[begin + i]) - static_cast<double>(centre[begin + i]);
  std::fill(out + count, out + block, 0.0);
}

template <class T>
void sum_pairs(std::span<const std::span<const T>> vectors, std::span<const T> centre, std::span<double> out, MeetAll meet_all,
               ThreadPool* pool) {
  const size_t n = vectors.size(), length = n == 0 ? 0 : vectors[0].size();
  for (const std::span<const T> vector : vectors)
    if (vector.size() != length)
      fail(Code::E_SHAPE, "pairs of vectors with %zu and %zu values, expected equal lengths", length, vector.size());
  if (!centre.empty() && centre.size() != length)
    fail(Code::E_SHAPE, "pairs: the centre has %zu values, expected %zu", centre.size(), length);
  if (out.size() != n * n) fail(Code::E_SHAPE, "pairs of %zu vectors: got room for %zu sums, expected %zu", n, out.size(), n * n);
  const size_t blocks = (length + block - 1) / block, tasks = (blocks + task_blocks - 1) / task_blocks;
  std::vector<double> sums(tasks * n * n), scratch(static_cast<size_t>(pool ? pool->threads() : 1) * n * block);
  run_tasks(pool, static_cast<int64_t>(tasks), [&](int64_t index, int member) {
    const size_t task = static_cast<size_t>(index);
    double* const values = scratch.data() + static_cast<size_t>(member) * n * block;
    for (size_t b = task * task_blocks; b < std::min((task + 1) * task_blocks, blocks); ++b) {
      for (size_t k = 0; k < n; ++k) widen(vectors[k], centre, b * block, values + k * block);
      meet_all(values, n, sums.data() + task * n * n);
    }
  });
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i; j < n; ++j) {
      double total = 0;
      for (size_t task = 0; task < tasks; ++task) total += sums[(task * n + i) * n + j];
      out[i * n + j] = out[j * n + i] = total;
    }
}
}  // namespace

template <class T>
void squared_distances(std::span<const std::span<const T>> vectors, std::span<double> out, ThreadPool* pool) {
  sum_pairs<T>(vectors, {}, out, kernels().distance, pool);
}

template <class T>
void products(std::span<const std::span<const T>> vectors, std::span<const T> centre, std::span<double> out, ThreadPool* pool) {
  sum_pairs<T>(vectors, centre, out, kernels().product, pool);
}

template void squared_distances(std::span<const std::span<const float>>, std::span<double>, ThreadPool*);
template void squared_distances(std::span<const std::span<const double>>, std::span<double>, ThreadPool*);
template void products(std::span<const std::span<const float>>, std::span<const float>, std::span<double>, ThreadPool*);
template void products(std::span<const std::span<const double>>, std::span<const double>, std::span<double>, ThreadPool*);

}  // namespace fedlora
