// Noise that hides something: the key stream beside RFC 8439, the distribution's moments and tails, and what decides its bits.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/chacha20.h"
#include "harness.h"
#include "vectors/kernels.h"
#include "vectors/noise.h"

using namespace fedlora;

namespace {
ChaChaKey key_of(uint32_t seed) { return {seed, 1, 2, 3, 4, 5, 6, 7}; }

std::vector<float> noise(size_t count, uint32_t seed, double deviation = 1, int64_t first = 0, ThreadPool* pool = nullptr) {
  std::vector<float> values(count);
  add_noise(values, {key_of(seed), deviation, 1}, first, pool);
  return values;
}

double moment(const std::vector<float>& values, int power) {
  double sum = 0;
  for (float value : values) sum += std::pow(static_cast<double>(value), power);
  return sum / static_cast<double>(values.size());
}

/// The largest distance between the values' distribution and the normal one of this deviation, times √n (Kolmogorov and Smirnov).
double distance(std::vector<float> values, double deviation) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  double worst = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double p = 0.5 * std::erfc(-static_cast<double>(values[i]) / deviation / std::sqrt(2.0));
    worst = std::max({worst, std::fabs(p - static_cast<double>(i) / n), std::fabs(p - static_cast<double>(i + 1) / n)});
  }
  return worst * std::sqrt(n);
}
}  // namespace

CASE("the key stream is RFC 8439's: sections 2.3.2 (its words, with our nonce) and A.1, test vectors 1, 2 and 4") {
  const auto block = [](const ChaChaKey& key, uint32_t counter) {
    alignas(64) uint32_t words[256];
    chacha20_blocks16<Eight>(key, counter, words);
    std::vector<uint32_t> lane;
    for (int w = 0; w < 16; ++w) lane.push_back(words[16 * w]);
    uint32_t beside[256];
    chacha20_blocks16<Eight>(key, counter - 3, beside);
    for (int w = 0; w < 16; ++w) CHECK(beside[16 * w + 3] == lane[static_cast<size_t>(w)]);
    return lane;
  };
  const ChaChaKey zeros{};
  CHECK(block(zeros, 0) ==
        (std::vector<uint32_t>{0xade0b876, 0x903df1a0, 0xe56a5d40, 0x28bd8653, 0xb819d2bd, 0x1aed8da0, 0xccef36a8, 0xc70d778b, 0x7c5941da,
                               0x8d485751, 0x3fe02477, 0x374ad8b8, 0xf4b8436a, 0x1ca11815, 0x69b687c3, 0x8665eeb2}));
  CHECK(block(zeros, 1) ==
        (std::vector<uint32_t>{0xbee7079f, 0x7a385155, 0x7c97ba98, 0x0d082d73, 0xa0290fcb, 0x6965e348, 0x3e53c612, 0xed7aee32, 0x7621b729,
                               0x434ee69c, 0xb03371d5, 0xd539d874, 0x281fed31, 0x45fb0a51, 0x1f0ae1ac, 0x6f4d794b}));
  ChaChaKey key{};
  key[0] = 0xff00;  // byte 1 of the key
  CHECK(block(key, 2).front() == 0xfb4dd572);
}

CASE("the noise is normal: moments, distribution, tails; a variance taken for a deviation is seen") {
  constexpr size_t count = 400000;
  for (double deviation : {1.0, 0.25, 3.0}) {
    const std::vector<float> values = noise(count, 7, deviation);
    const double v = deviation * deviation, n = static_cast<double>(count);
    // Five standard errors of each sample moment of a normal.
    CHECK_LE(std::fabs(moment(values, 1)), 5 * deviation / std::sqrt(n));
    CHECK_LE(std::fabs(moment(values, 2) / v - 1), 5 * std::sqrt(2 / n));
    CHECK_LE(std::fabs(moment(values, 3)) / (v * deviation), 5 * std::sqrt(15 / n));
    CHECK_LE(std::fabs(moment(values, 4) / (v * v) - 3), 5 * std::sqrt(96 / n));
    CHECK_LE(distance(values, deviation), 1.95);  // one sample in a thousand is further
    CHECK_LE(4.0 * deviation, *std::max_element(values.begin(), values.end()));
    if (deviation != 1) CHECK(!(distance(values, deviation * deviation) <= 1.95));  // canary
    CHECK(!(distance(values, deviation * 1.01) <= 1.95));                           // canary
  }
}

CASE("elements are independent of their neighbours, of other keys, and no run of them comes twice") {
  constexpr size_t count = 1 << 18;
  const std::vector<float> a = noise(count, 1), b = noise(count, 2);
  const auto correlation = [&](const std::vector<float>& x, const std::vector<float>& y, size_t lag) {
    double sum = 0;
    for (size_t i = 0; i + lag < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(y[i + lag]);
    return sum / static_cast<double>(count - lag) * std::sqrt(static_cast<double>(count - lag));
  };
  for (size_t lag : {1, 2, 3, 16, 32, 48, 63, 64, 128, 1024}) CHECK_LE(std::fabs(correlation(a, a, lag)), 5.0);
  for (size_t lag : {0, 1, 16, 64}) CHECK_LE(std::fabs(correlation(a, b, lag)), 5.0);
  CHECK(!(std::fabs(correlation(a, a, 0)) <= 5.0));  // canary
  std::vector<float> sorted = a;
  std::sort(sorted.begin(), sorted.end());
  size_t equal = 0;
  for (size_t i = 1; i < count; ++i) equal += sorted[i] == sorted[i - 1];
  CHECK(equal < count / 50);
}

CASE("an element's bits are its key's and place's: ranges, threads and instruction sets change none") {
  constexpr size_t count = 10000;
  const std::vector<float> whole = noise(count, 3, 0.7);
  ThreadPool pool(3);
  CHECK(whole == noise(count, 3, 0.7, 0, &pool));
  for (int64_t first : {1, 63, 64, 100, 2048, 2049}) {
    const std::vector<float> part = noise(5000, 3, 0.7, first);
    CHECK(std::equal(part.begin(), part.end(), whole.begin() + first));
  }
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) {
    alignas(64) double sums[256] = {};
    vector_kernels(static_cast<Isa>(level)).add_noise(sums, key_of(3), 16, 4, 0.7);
    for (size_t i = 0; i < 256; ++i) CHECK(static_cast<float>(sums[i]) == whole[64 + i]);
  }
  CHECK(whole != noise(count, 4, 0.7));
}

CASE("noise is added to what is there, and the sum divided; a deviation of 0 only divides") {
  const std::vector<float> pure = noise(100, 5);
  std::vector<float> values(100, 3.0f), plain(100, 3.0f);
  add_noise(values, {key_of(5), 1, 4});
  add_noise(plain, {key_of(5), 0, 4});
  for (size_t i = 0; i < 100; ++i) {
    CHECK_LE(std::fabs(static_cast<double>(values[i]) - (3 + static_cast<double>(pure[i])) / 4), 1e-6);
    CHECK(plain[i] == 0.75f);
  }
  CHECK_THROWS(add_noise(values, {key_of(5), -1, 1}), E_ARGUMENT);
  CHECK_THROWS(add_noise(values, {key_of(5), 1, 0}), E_ARGUMENT);
  CHECK_THROWS(add_noise(values, {key_of(5), std::nan(""), 1}), E_NONFINITE);
  CHECK_THROWS(add_noise(values, {key_of(5), INFINITY, 1}), E_NONFINITE);
  CHECK_THROWS(add_noise(values, {key_of(5), 1, 1}, most_noise - 99), E_ARGUMENT);
  CHECK_THROWS(add_noise(values, {key_of(5), 1, 1}, -1), E_ARGUMENT);
}

TEST_MAIN()
