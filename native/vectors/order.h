/// Order statistics of n long vectors, element by element: for each place the n values there, sorted.
///
///   mean_between(x, a, b)     the mean of the sorted values a … b − 1: the median, the trimmed mean
///   mean_near_median(x, k)    the mean of the k values nearest to the median; of two as near, the vector that comes first
///
/// Values are finite; means are taken in double, in ascending order, and rounded once: the order of the vectors changes no bit (but where
/// the k-th nearest ties).
#pragma once
#include <span>

#include "base/thread_pool.h"

namespace fedlora {

/// 0 ≤ begin < end ≤ n (E_ARGUMENT); all lengths equal (E_SHAPE).
template <class T>
void mean_between(std::span<const std::span<const T>> vectors, size_t begin, size_t end, std::span<T> out, ThreadPool* pool = nullptr);

/// 1 ≤ keep ≤ n (E_ARGUMENT).
template <class T>
void mean_near_median(std::span<const std::span<const T>> vectors, size_t keep, std::span<T> out, ThreadPool* pool = nullptr);

}  // namespace fedlora
