// Long vectors: linear combinations and the server's step beside plain loops; threads, ranges and instruction sets change no bit.
#include <cmath>
#include <limits>
#include <random>

#include "harness.h"
#include "vectors/combine.h"
#include "vectors/kernels.h"
#include "vectors/ranges.h"
#include "vectors/server_step.h"

using namespace fedlora;

namespace {
constexpr float untouched = 12345.0f;

template <class T>
std::vector<T> draw(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(std::ldexp(normal(random), static_cast<int>(random() % 9) - 6));
  return values;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
std::vector<T> combine(std::vector<double> coefficients, const std::vector<std::vector<T>>& given, double divisor = 1,
                       std::vector<Range> ranges = {}, ThreadPool* pool = nullptr) {
  const std::vector<std::span<const T>> vectors(given.begin(), given.end());
  std::vector<T> out(given[0].size(), static_cast<T>(untouched));
  if (ranges.empty()) ranges = {{0, static_cast<int64_t>(out.size())}};
  linear_combination<T>({coefficients, vectors, divisor}, ranges, out, pool);
  return out;
}
}  // namespace

CASE("a linear combination is the sum in double, in the order given, rounded once") {
  for (size_t length : {1, 7, 2048, 2049, 100003}) {
    const std::vector<std::vector<float>> v = {draw<float>(length, 1), draw<float>(length, 2), draw<float>(length, 3)};
    const std::vector<float> got = combine<float>({0.3, -1.7, 1e-3}, v, 7);
    size_t wrong = 0;
    for (size_t i = 0; i < length; ++i) {
      const double first = 0.3 * static_cast<double>(v[0][i]), second = -1.7 * static_cast<double>(v[1][i]);
      const double sum = (first + second) + 1e-3 * static_cast<double>(v[2][i]);
      wrong += got[i] != static_cast<float>(sum / 7);
    }
    CHECK(wrong == 0);
    ThreadPool pool(3);
    CHECK(same(got, combine<float>({0.3, -1.7, 1e-3}, v, 7, {}, &pool)));
    CHECK(!same(got, combine<float>({0.3, -1.7, 1e-3}, v, 7.0000005)));  // canary
    CHECK(same(v[1], combine<float>({1}, {v[1]})));
  }
  CHECK(std::signbit(combine<float>({1}, {{-0.0f}})[0]));
}

CASE("only the ranges are written, and they may be a vector's own memory") {
  constexpr size_t length = 9000;
  const std::vector<std::vector<float>> v = {draw<float>(length, 4), draw<float>(length, 5)};
  const std::vector<float> whole = combine<float>({2, -3}, v);
  const std::vector<Range> ranges = {{0, 1}, {5, 5}, {2040, 4097}, {4097, 4100}, {8999, 9000}};
  ThreadPool pool(3);
  const std::vector<float> parts = combine<float>({2, -3}, v, 1, ranges, &pool);
  std::vector<float> expected(length, untouched), in_place = v[1];
  for (const auto& [begin, end] : ranges) std::copy(whole.begin() + begin, whole.begin() + end, expected.begin() + begin);
  CHECK(same(parts, expected));
  const std::span<const float> both[] = {v[0], in_place};
  const double coefficients[] = {2, -3};
  const Range all{0, length};
  linear_combination<float>({coefficients, both}, {&all, 1}, in_place, &pool);
  CHECK(same(in_place, whole));
}

CASE("a combination in float64 keeps what a double would drop: equal vectors give themselves, whatever their weights") {
  const std::vector<double> v = draw<double>(3001, 6);
  for (int copies : {1, 2, 3, 7, 50}) {
    std::mt19937_64 random(7);
    std::vector<double> weights;
    double total = 0;
    for (int k = 0; k < copies; ++k) weights.push_back(static_cast<double>(1 + random() % 400)), total += weights.back();
    CHECK(same(v, combine<double>(weights, std::vector<std::vector<double>>(static_cast<size_t>(copies), v), total)));
  }
  CHECK(combine<double>({1, 1, -1}, {{1e17}, {1.0}, {1e17}})[0] == 1);
  size_t different = 0;  // canary: plain sums do not
  for (double x : v) different += (3 * x + 5 * x + 11 * x) / 19 != x;
  CHECK(different > 0);
}

CASE("what a combination refuses") {
  const std::vector<float> a(8), b(7);
  std::vector<float> out(8);
  const auto attempt = [&](std::vector<double> c, std::vector<std::span<const float>> v, std::vector<Range> ranges, std::span<float> into) {
    linear_combination<float>({c, v}, ranges, into);
  };
  CHECK_THROWS(attempt({}, {}, {{0, 8}}, out), E_ARGUMENT);
  CHECK_THROWS(attempt({1, 2}, {a}, {{0, 8}}, out), E_ARGUMENT);
  CHECK_THROWS(attempt({1}, {b}, {{0, 7}}, out), E_SHAPE);
  for (const std::vector<Range>& ranges :
       std::vector<std::vector<Range>>{{{0, 9}}, {{3, 2}}, {{-1, 2}}, {{0, 4}, {3, 5}}, {{4, 5}, {0, 2}}})
    CHECK_THROWS(attempt({1}, {a}, ranges, out), E_ARGUMENT);
  std::vector<float> memory(12);
  CHECK_THROWS(attempt({1}, {std::span(memory).subspan(1, 8)}, {{0, 8}}, std::span(memory).first(8)), E_ARGUMENT);
  attempt({1}, {std::span(memory).subspan(4, 4)}, {{0, 4}}, std::span(memory).first(4));
}

CASE("a server step in float32 is the same formula rounded once, on every instruction set and any number of threads") {
  constexpr size_t length = 5003;
  const StepSizes sizes{0.05, 0.9, 0.97, 1e-3};
  for (int r = 0; r < server_rules; ++r) {
    const ServerRule rule = static_cast<ServerRule>(r);
    std::vector<float> x = draw<float>(length, 8), m(length), v(length);
    std::vector<double> y(x.begin(), x.end()), m64(length), v64(length);
    std::vector<float> threaded = x, mt(length), vt(length);
    ThreadPool pool(3);
    double worst = 0;
    for (uint64_t round = 0; round < 4; ++round) {
      const std::vector<float> mean = draw<float>(length, 20 + round);
      const std::vector<double> mean64(mean.begin(), mean.end());
      std::vector<std::vector<float>> leveled;
      for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) {
        std::vector<float> xl = x, ml = m, vl = v;
        vector_kernels(static_cast<Isa>(level)).step[r](xl.data(), mean.data(), ml.data(), vl.data(), length, sizes);
        leveled.push_back(xl);
      }
      server_step<float>(rule, x, mean, m, v, sizes);
      server_step<float>(rule, threaded, mean, mt, vt, sizes, &pool);
      server_step<double>(rule, y, mean64, m64, v64, sizes);
      for (const std::vector<float>& other : leveled) CHECK(same(other, x));
      CHECK(same(threaded, x) && same(mt, m) && same(vt, v));
      for (size_t i = 0; i < length; ++i)
        worst = std::max(worst, std::fabs(static_cast<double>(x[i]) - y[i]) / std::max(1.0, std::fabs(y[i])));
    }
    CHECK_LE(worst, 4 * 4 * 0x1p-24);  // four rounds, each rounds m, v and x once
    CHECK(worst > 0);
    std::vector<float> other = draw<float>(length, 8), mo(length), vo(length);  // canary: another decay is seen
    for (uint64_t round = 0; round < 4; ++round)
      server_step<float>(rule, other, draw<float>(length, 20 + round), mo, vo, {0.05, 0.9001, 0.97, 1e-3});
    CHECK(!same(other, x));
  }
}

CASE("what a server step refuses") {
  std::vector<float> x(4), mean(4), m(4), v(4), shorter(3);
  const StepSizes sizes{1, 0.9, 0.99, 1e-3};
  const auto step = [&](std::span<float> a, std::span<const float> d, std::span<float> m1, std::span<float> m2) {
    server_step<float>(ServerRule::adam, a, d, m1, m2, sizes);
  };
  CHECK_THROWS(step(x, shorter, m, v), E_SHAPE);
  CHECK_THROWS(step(x, mean, shorter, v), E_SHAPE);
  CHECK_THROWS(step(x, mean, m, shorter), E_SHAPE);
  CHECK_THROWS(step(x, x, m, v), E_ARGUMENT);
  CHECK_THROWS(step(x, mean, m, m), E_ARGUMENT);
  CHECK_THROWS(step(x, mean, mean, v), E_ARGUMENT);
  server_step<float>(ServerRule::momentum, x, mean, m, {}, sizes);
}

TEST_MAIN()
