/// Sums over pairs of long vectors, in double: out[i, j] [n, n], row-major and symmetric.
///
///   squared_distances   out[i, j] = Σ (x_i − x_j)²
///   products            out[i, j] = Σ (x_i − c)·(x_j − c), c a centre that is taken off first, in double
///
/// Blocks of a fixed size give sums of their own, added in order: threads and instruction sets change no bit.
#pragma once
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace fedlora {

/// The vectors have equal lengths (E_SHAPE); `out` has n·n values (E_SHAPE).
template <class T>
void squared_distances(std::span<const std::span<const T>> vectors, std::span<double> out, ThreadPool* pool = nullptr);

/// `centre` as long as the vectors, or empty for none.
template <class T>
void products(std::span<const std::span<const T>> vectors, std::span<const T> centre, std::span<double> out, ThreadPool* pool = nullptr);

}  // namespace fedlora
