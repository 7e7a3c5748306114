// Long vectors: linear combinations and the server's step beside plain loops; threads, ranges and instruction sets change no bit.
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "base/philox.h"
#include "draws.h"
#include "harness.h"
#include "vectors/combine.h"
#include "vectors/kernels.h"
#include "vectors/normals.h"
#include "vectors/normals_body.h"
#include "vectors/ranges.h"
#include "vectors/server_step.h"

using namespace fedlora;

namespace {
constexpr float untouched = 12345.0f;

template <class T>
std::vector<T> draw(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(std::ldexp(draws::normal(random), static_cast<int>(random() % 9) - 6));
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
  CHECK(combine<double>({1, 1 + 0x1p-30}, {{-(1 + 0x1p-29)}, {1 + 0x1p-30}})[0] == 0x1p-60);
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
  attempt({1}, {std::span(memory).first(4)}, {{0, 4}}, std::span(memory).subspan(4, 4));
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

CASE("each rule by hand, where v is above, below and at the square of the mean") {
  const StepSizes sizes{0.1, 0.9, 0.8, 0.01};
  for (double v : {0.5, 0.01, 0.25}) {
    const double sign = v > 0.25 ? 1 : v < 0.25 ? -1 : 0, m = 0.9 * 0.25 + 0.1 * 0.5;
    const auto adaptive = [&](double after) { return std::array{2 + 0.1 * m / (std::sqrt(after) + 0.01), m, after}; };
    const std::array<double, 3> expected[] = {{2 + 0.1 * 0.725, 0.725, v},
                                              {2 + 0.1 * (0.5 + 0.9 * 0.725), 0.725, v},
                                              adaptive(0.8 * v + 0.2 * 0.25),
                                              adaptive(v - 0.2 * 0.25 * sign),
                                              adaptive(v + 0.25)};
    for (int r = 0; r < server_rules; ++r) {
      std::vector<double> x{2}, mean{0.5}, m1{0.25}, m2{v};
      server_step<double>(static_cast<ServerRule>(r), x, mean, m1, m2, sizes);
      const double got[] = {x[0], m1[0], m2[0]};
      for (size_t i = 0; i < 3; ++i) CHECK_LE(std::fabs(got[i] - expected[r][i]), 1e-15);
    }
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

namespace {
constexpr uint64_t stream = 25ull << 32;

std::vector<float> directed(std::vector<float> values, std::vector<uint64_t> seeds, std::vector<double> scales,
                            std::vector<Range> ranges = {}, ThreadPool* pool = nullptr) {
  if (ranges.empty()) ranges = {{0, static_cast<int64_t>(values.size())}};
  add_normals(values, {seeds, scales, stream}, ranges, pool);
  return values;
}

/// Element i as normals.h says it, by the C library in double.
double normal(uint64_t seed, size_t i) {
  const auto words = Philox{seed, stream}(i >> 2);
  const double u = (words[i & 2] + 0.5) / 4294967296.0, v = (words[(i & 2) + 1] + 0.5) / 4294967296.0, turn = 2 * std::acos(-1.0) * v;
  return std::sqrt(-2 * std::log(u)) * (i & 1 ? std::sin(turn) : std::cos(turn));
}
}  // namespace

CASE("a direction is that of Philox and Box-Muller, to 1e-6, whatever the seed") {
  for (uint64_t seed : {uint64_t{0}, uint64_t{7}, (uint64_t{1} << 32) + 5, (uint64_t{1} << 48) - 1}) {
    constexpr size_t length = 200001;
    const std::vector<float> z = directed(std::vector<float>(length), {seed}, {1});
    double worst = 0, mean = 0, square = 0, shifted = 0;
    for (size_t i = 0; i < length; ++i) {
      worst = std::max(worst, std::fabs(static_cast<double>(z[i]) - normal(seed, i)));
      shifted = std::max(shifted, std::fabs(static_cast<double>(z[i]) - normal(seed, i + 1)));
      mean += static_cast<double>(z[i]) / length, square += static_cast<double>(z[i]) * static_cast<double>(z[i]) / length;
    }
    CHECK_LE(worst, 1e-6);
    CHECK_LE(std::fabs(mean), 5 / std::sqrt(length));
    CHECK_LE(std::fabs(square - 1), 5 * std::sqrt(2.0 / length));
    CHECK(!(shifted <= 1e-6));  // canary: the neighbour's
  }
}

// Words at the ends of what a word can be: the largest radius, a radius near 0, the borders of quadrants and of the two branches.
CASE("radius and turn at every border") {
  const auto kernel_normal = [](uint32_t u, uint32_t v) {
    float cosine, sine;
    normals_body::turn(v, cosine, sine);
    const float r = normals_body::radius(u);
    return std::pair{static_cast<double>(r * cosine), static_cast<double>(r * sine)};
  };
  std::vector<uint32_t> words;
  for (uint64_t border : {0ull, 0x20000000ull, 0x40000000ull, 0x60000000ull, 0x80000000ull, 0xA0000000ull, 0xB504F334ull, 0xC0000000ull,
                          0xE0000000ull, 0x100000000ull})
    for (int64_t step : {-70000, -257, -2, -1, 0, 1, 2, 300, 70000})
      words.push_back(static_cast<uint32_t>(border + static_cast<uint64_t>(step)));
  size_t wrong_signs = 0;
  double worst = 0;
  for (uint32_t u : words)
    for (uint32_t v : words) {
      const double r = std::sqrt(-2 * std::log1p(-((~u & 0xffffffffu) + 0.5) / 4294967296.0));
      const double turn = 2 * std::acos(-1.0) * (v + 0.5) / 4294967296.0;
      const auto [cosine, sine] = kernel_normal(u, v);
      wrong_signs += (cosine > 0) != (std::cos(turn) > 0) || (sine > 0) != (std::sin(turn) > 0);
      worst = std::max({worst, std::fabs(cosine - r * std::cos(turn)), std::fabs(sine - r * std::sin(turn))});
    }
  CHECK(wrong_signs == 0);
  CHECK_LE(worst, 1.5e-6);  // |z| up to 6.8: half a unit in its last place is 2.4e-7
}

CASE("directions: instruction sets, threads, ranges change no bit; several are their sum in double, rounded once") {
  constexpr size_t length = 9001;
  const std::vector<float> w = draw<float>(length, 30);
  const std::vector<uint64_t> seeds = {7, 11, 123456789};
  const std::vector<double> scales = {1e-3, -0.25, 3};
  const std::vector<float> expected = directed(w, seeds, scales);
  ThreadPool pool(3);
  CHECK(same(directed(w, seeds, scales, {}, &pool), expected));
  std::vector<std::vector<float>> z;
  for (uint64_t seed : seeds) z.push_back(directed(std::vector<float>(length), {seed}, {1}));
  std::vector<float> sums = w;
  for (size_t i = 0; i < length; ++i) {
    double sum = 0;
    for (size_t j = 0; j < seeds.size(); ++j) sum += scales[j] * static_cast<double>(z[j][i]);
    sums[i] = static_cast<float>(static_cast<double>(w[i]) + sum);
  }
  CHECK(same(sums, expected));
  const std::vector<Range> ranges = {{1, 3}, {63, 65}, {2000, 4200}, {9000, 9001}};
  std::vector<float> parts = w;
  for (const auto& [begin, end] : ranges) std::copy(expected.begin() + begin, expected.begin() + end, parts.begin() + begin);
  CHECK(same(directed(w, seeds, scales, ranges, &pool), parts));
  CHECK(same(directed(directed(w, seeds, scales, {{0, 5000}}), seeds, scales, {{5000, 9001}}), expected));
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) {
    std::vector<double> got(2048), other(2048);
    vector_kernels(static_cast<Isa>(level)).add_normals(got.data(), (uint64_t{3} << 40) + 9, stream + 4, 1024, 32, 0.7);
    vector_kernels(Isa::scalar).add_normals(other.data(), (uint64_t{3} << 40) + 9, stream + 4, 1024, 32, 0.7);
    CHECK(same(got, other));
  }
  CHECK(!same(directed(w, {7, 11, 123456788}, scales), expected));  // canary: another seed
}

CASE("what directions refuse") {
  const std::vector<float> w(8);
  CHECK_THROWS(directed(w, {1, 2}, {1}), E_ARGUMENT);
  CHECK_THROWS(directed(w, {1}, {std::numeric_limits<double>::infinity()}), E_NONFINITE);
  CHECK_THROWS(directed(w, {1}, {1}, {{0, 9}}), E_ARGUMENT);
  CHECK(same(directed(w, {}, {}), w));
}

TEST_MAIN()
