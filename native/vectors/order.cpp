// Columns are sorted many at a time: a tile of all vectors goes through a sorting network whose comparators exchange whole rows, which are
// minima and maxima side by side without a branch (Batcher's merge exchange: Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M).
#include "vectors/order.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/inline.h"
#include "base/target.h"

namespace fedlora {

namespace {
constexpr size_t tile = 256, task_tiles = 32;

/// Rows i < j: afterwards the smaller value is in i.
struct Comparator {
  size_t i, j;
};

std::vector<Comparator> sorting_network(size_t n) {
  std::vector<Comparator> network;
  if (n < 2) return network;
  const size_t top = std::bit_ceil(n) / 2;
  for (size_t p = top; p > 0; p /= 2) {
    size_t d = p, r = 0;
    for (size_t q = top;; q /= 2) {
      for (size_t i = 0; i + d < n; ++i)
        if ((i & p) == r) network.push_back({i, i + d});
      if (q == p) break;
      d = q - p;
      r = p;
    }
  }
  return network;
}

template <class T>
FEDLORA_INLINE void sort_body(T* rows, const Comparator* network, size_t count) {
  for (size_t c = 0; c < count; ++c) {
    T* __restrict low = rows + network[c].i * tile;
    T* __restrict high = rows + network[c].j * tile;
    for (size_t e = 0; e < tile; ++e) {
      const T a = low[e], b = high[e];
      low[e] = a < b ? a : b;
      high[e] = a < b ? b : a;
    }
  }
}

template <class T>
using Sort = void (*)(T* rows, const Comparator* network, size_t count);

#define FEDLORA_SORTS(level, attribute)                                                                          \
  namespace order_##level {                                                                                      \
    attribute void single(float* r, const Comparator* network, size_t count) { sort_body(r, network, count); }   \
    attribute void twofold(double* r, const Comparator* network, size_t count) { sort_body(r, network, count); } \
  }

FEDLORA_SORTS(scalar, )
#if defined(__x86_64__)
FEDLORA_SORTS(avx2, FEDLORA_TARGET(FEDLORA_AVX2))
FEDLORA_SORTS(avx512, FEDLORA_TARGET(FEDLORA_AVX512))
#endif

template <class T>
Sort<T> chosen(Sort<float> single, Sort<double> twofold) {
  if constexpr (std::is_same_v<T, float>)
    return single;
  else
    return twofold;
}

template <class T>
Sort<T> sort_rows() {
#if defined(__x86_64__)
  const Isa isa = select_isa();
  if (isa == Isa::avx512bf16) return chosen<T>(order_avx512::single, order_avx512::twofold);
  if (isa == Isa::avx2) return chosen<T>(order_avx2::single, order_avx2::twofold);
#endif
  return chosen<T>(order_scalar::single, order_scalar::twofold);
}

/// `reduce(sorted, vectors, begin, count)` for tiles that cover the vectors; row k of `sorted` has the k-th values.
template <class T, class Reduce>
void for_sorted_tiles(std::span<const std::span<const T>> vectors, std::span<T> out, ThreadPool* pool, const Reduce& reduce) {
  const size_t n = vectors.size(), length = out.size();
  for (const std::span<const T> vector : vectors)
    if (vector.size() != length) fail(Code::E_SHAPE, "order statistics: a vector has %zu values, expected %zu", vector.size(), length);
  const std::vector<Comparator> network = sorting_network(n);
  const Sort<T> sort = sort_rows<T>();
  const size_t tiles = (length + tile - 1) / tile;
  std::vector<T> scratch(static_cast<size_t>(pool ? pool->threads() : 1) * n * tile);
  run_tasks(pool, static_cast<int64_t>((tiles + task_tiles - 1) / task_tiles), [&](int64_t task, int member) {
    T* const rows = scratch.data() + static_cast<size_t>(member) * n * tile;
    const size_t first = static_cast<size_t>(task) * task_tiles;
    for (size_t t = first; t < std::min(first + task_tiles, tiles); ++t) {
      const size_t begin = t * tile, count = std::min(tile, length - begin);
      for (size_t k = 0; k < n; ++k) {
        std::copy_n(vectors[k].data() + begin, count, rows + k * tile);
        std::fill(rows + k * tile + count, rows + (k + 1) * tile, T(0));
      }
      sort(rows, network.data(), network.size());
      reduce(rows, begin, count);
    }
  });
}

void check_count(const char* what, size_t vectors, bool fits) {
  if (!fits) fail(Code::E_ARGUMENT, "%s: %zu vectors are too few, or none of their values is asked for", what, vectors);
}

/// The mean of the `keep` values of one place nearest to the median. `sorted`: that place's values, `tile` apart.
template <class T>
double near_median(const T* sorted, std::span<const std::span<const T>> vectors, size_t place, size_t keep) {
  const size_t n = vectors.size(), middle = n / 2;
  const auto value = [&](size_t k) { return static_cast<double>(sorted[k * tile]); };
  const double median = n % 2 == 1 ? value(middle) : (value(middle - 1) + value(middle)) / 2;
  const auto distance = [&](double x) { return std::abs(x - median); };
  size_t low = middle, high = middle;  // the nearest so far: [low, high)
  while (high - low < keep) {
    if (high == n || (low > 0 && distance(value(low - 1)) <= distance(value(high))))
      --low;
    else
      ++high;
  }
  const double farthest = std::max(distance(value(low)), distance(value(high - 1)));
  // Below, what is left out at this distance has the value of what was taken; above, the vectors' order decides.
  const bool tie = high < n && distance(value(high)) == farthest;
  double sum = 0;
  if (!tie) {
    for (size_t k = low; k < high; ++k) sum += value(k);
    return sum / static_cast<double>(keep);
  }
  size_t taken = 0;
  for (size_t k = low; k < high; ++k)
    if (distance(value(k)) < farthest) sum += value(k), ++taken;
  for (size_t k = 0; k < n && taken < keep; ++k) {
    const double x = static_cast<double>(vectors[k][place]);
    if (distance(x) == farthest) sum += x, ++taken;
  }
  return sum / static_cast<double>(keep);
}
}  // namespace

template <class T>
void mean_between(std::span<const std::span<const T>> vectors, size_t begin, size_t end, std::span<T> out, ThreadPool* pool) {
  check_count("mean of sorted values", vectors.size(), begin < end && end <= vectors.size());
  for_sorted_tiles<T>(vectors, out, pool, [&](const T* sorted, size_t at, size_t count) {
    double sums[tile] = {};
    for (size_t k = begin; k < end; ++k)
      for (size_t e = 0; e < tile; ++e) sums[e] += static_cast<double>(sorted[k * tile + e]);
    for (size_t e = 0; e < count; ++e) out[at + e] = static_cast<T>(sums[e] / static_cast<double>(end - begin));
  });
}

template <class T>
void mean_near_median(std::span<const std::span<const T>> vectors, size_t keep, std::span<T> out, ThreadPool* pool) {
  check_count("mean near the median", vectors.size(), keep >= 1 && keep <= vectors.size());
  for_sorted_tiles<T>(vectors, out, pool, [&](const T* sorted, size_t at, size_t count) {
    for (size_t e = 0; e < count; ++e) out[at + e] = static_cast<T>(near_median<T>(sorted + e, vectors, at + e, keep));
  });
}

template void mean_between(std::span<const std::span<const float>>, size_t, size_t, std::span<float>, ThreadPool*);
template void mean_between(std::span<const std::span<const double>>, size_t, size_t, std::span<double>, ThreadPool*);
template void mean_near_median(std::span<const std::span<const float>>, size_t, std::span<float>, ThreadPool*);
template void mean_near_median(std::span<const std::span<const double>>, size_t, std::span<double>, ThreadPool*);

}  // namespace fedlora
