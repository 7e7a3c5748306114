/// Random numbers whose bits every compiler and library gives: the standard fixes std::mt19937_64, but not its distributions.
#pragma once
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace draws {

/// Normal to a test's needs: twelve uniform numbers of 16 bits, less their mean (Irwin and Hall: variance 1, |z| < 6), and one more
/// word below them, so that all bits of a double are drawn. Every step but the last sum is exact.
inline double normal(std::mt19937_64& random) {
  uint64_t sum = 0;
  for (int i = 0; i < 3; ++i)
    for (uint64_t word = random(), part = 0; part < 4; ++part, word >>= 16) sum += word & 0xffff;
  constexpr double mean = 12 * 32767.5 + 0.5;
  return (static_cast<double>(sum) - mean) * 0x1p-16 + static_cast<double>(random() >> 11) * 0x1p-69;
}

template <class T = float>
std::vector<T> normals(size_t count, uint64_t seed, T scale = 1) {
  std::mt19937_64 random(seed);
  std::vector<T> values(count);
  for (T& value : values) value = scale * static_cast<T>(normal(random));
  return values;
}

/// Failures before the first success of probability p: the largest k ≤ 2^24 with (1 − p)^k above a uniform number.
inline uint32_t geometric(std::mt19937_64& random, double p) {
  const double u = static_cast<double>(random() >> 11) * 0x1p-53;
  double power[24] = {1 - p}, product = 1;
  for (int j = 1; j < 24; ++j) power[j] = power[j - 1] * power[j - 1];
  uint32_t k = 0;
  for (int j = 23; j >= 0; --j)
    if (product * power[j] > u) product *= power[j], k |= 1u << j;
  return k;
}

/// Fisher and Yates.
template <class T>
void shuffle(std::vector<T>& values, std::mt19937_64& random) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random() % i]);
}

}  // namespace draws
