/// Gaussian noise that hides something: from a key stream (base/chacha20.h) whose key nobody else knows, and that serves once.
///
///   element i = deviation · ½ Σ_{p<4} z_p      z_p from words of the stream by Box and Muller's transform (normals.h), four words an
///   element
///
/// One such normal ends at |z| = 6.8 and takes few of the numbers that a float32 could; the sum of four reaches twice as far, and whose
/// sum it is cannot be undone (Holohan and Braghin 2021, "Secure Random Sampling in Differential Privacy", against Mironov 2012, "On
/// significance of the least significant bits for differential privacy"). Added in double, rounded once; the same bits on every
/// instruction set and any number of threads.
#pragma once
#include <span>

#include "base/chacha20.h"
#include "base/thread_pool.h"

namespace fedlora {

/// Elements that one key can give: 2^32 blocks of sixteen words, four words an element.
inline constexpr int64_t most_noise = int64_t{1} << 34;

struct Noise {
  ChaChaKey key;
  double deviation = 0;  // standard deviation of an element; 0: none
  double divisor = 1;    // of what the noise was added to
};

/// values[i] = (values[i] + element `first` + i of the noise) / divisor.
/// Throws E_ARGUMENT (more elements than a key has; a deviation below 0, a divisor of 0), E_NONFINITE (one that is not finite).
void add_noise(std::span<float> values, const Noise& noise, int64_t first = 0, ThreadPool* pool = nullptr);

}  // namespace fedlora
