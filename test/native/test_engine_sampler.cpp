/// Drawing the next token: shares of many draws against exact probabilities, ties, cuts, extremes, logits that are not finite.
#include <limits>

#include "harness.h"
#include "engine/sampler.h"

using namespace fedlora;

namespace {
constexpr uint64_t draws = 100000;

/// Logarithms of probabilities: at temperature 1 they are drawn as they stand, at 1/2 by their squares.
std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

/// The largest distance between a token's share of the draws and its probability, in standard deviations √(p(1−p)/draws).
/// Tokens of probability 0 must not be drawn, those of probability 1 always: then the distance is infinite.
double worst_distance(const SamplerOptions& options, const std::vector<float>& logits, const std::vector<double>& weights) {
  Sampler sampler(options);
  std::vector<double> counts(logits.size());
  for (uint64_t draw = 0; draw < draws; ++draw) ++counts[static_cast<size_t>(sampler.pick(logits, draw))];
  double total = 0, worst = 0;
  for (double weight : weights) total += weight;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double p = weights[i] / total, difference = std::fabs(counts[i] / draws - p), deviation = std::sqrt(p * (1 - p) / draws);
    worst = std::max(worst, difference == 0 ? 0 : difference / deviation);
  }
  return worst;
}

/// Of a correct sampler one token in 1.7 million lies farther off than this.
constexpr double five_sigma = 5;

const std::vector<double> four = {0.125, 0.5, 0.25, 0.125};
}  // namespace

CASE("shares of draws are the probabilities: temperature") {
  CHECK_LE(worst_distance({1, 0, 1, 7}, logs(four), four), five_sigma);
  CHECK_LE(worst_distance({0.5, 0, 1, 8}, logs(four), {1, 16, 4, 1}), five_sigma);
  CHECK_LE(worst_distance({2, 0, 1, 9}, logs(four), {1, 2, std::sqrt(2.0), 1}), five_sigma);
  CHECK_LE(worst_distance({1e300, 0, 1, 9}, logs(four), {1, 1, 1, 1}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 1, 10}, {0, -50000, 0, 0.5f}, {1, 0, 1, std::exp(0.5)}), five_sigma);
}

CASE("shares of draws are the probabilities: top-k") {
  CHECK_LE(worst_distance({1, 1, 1, 1}, logs(four), {0, 1, 0, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 2, 1, 2}, logs(four), {0, 2, 1, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 4, 1, 3}, logs(four), four), five_sigma);
  CHECK_LE(worst_distance({1, 1 << 30, 1, 3}, logs(four), four), five_sigma);
}

CASE("shares of draws are the probabilities: top-p keeps the fewest whose mass reaches it") {
  CHECK_LE(worst_distance({1, 0, 1e-300, 1}, logs(four), {0, 1, 0, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 0.49, 1}, logs(four), {0, 1, 0, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 0.51, 2}, logs(four), {0, 2, 1, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 0.74, 3}, logs(four), {0, 2, 1, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 0.76, 4}, logs(four), {1, 4, 2, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 0.88, 5}, logs(four), four), five_sigma);
  // The mass is that of the tokens which top-k left and at the temperature given: 16, 4 and 1 of 21.
  CHECK_LE(worst_distance({0.5, 3, 0.8, 6}, logs(four), {0, 4, 1, 0}), five_sigma);
  CHECK_LE(worst_distance({0.5, 3, 0.96, 7}, logs(four), {1, 16, 4, 0}), five_sigma);
}

CASE("shares over a whole vocabulary") {
  std::vector<float> logits(300);
  std::vector<double> weights(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<float>(3 * std::sin(static_cast<double>(i * i)));
    weights[i] = std::exp(static_cast<double>(logits[i]) / 0.8);
  }
  CHECK_LE(worst_distance({0.8, 0, 1, 3}, logits, weights), five_sigma);
}

CASE("ties: greedy and every cut take the smaller ids, draws take all alike") {
  const std::vector<float> tied = {1, 2, 2, 1, 2};
  CHECK(Sampler({}).pick(tied, 0) == 1);
  CHECK_LE(worst_distance({1, 2, 1, 4}, tied, {0, 1, 1, 0, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 4, 1, 5}, tied, {1, std::exp(1.0), std::exp(1.0), 0, std::exp(1.0)}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 0.5, 6}, tied, {0, 1, 1, 0, 0}), five_sigma);
  CHECK_LE(worst_distance({1, 0, 1, 7}, {5, 5, 5}, {1, 1, 1}), five_sigma);
}

CASE("a temperature near zero is greedy; logits near the ends of float32 are logits") {
  const std::vector<float> logits = {1, 1.0000001f, 0.5f};
  for (uint64_t draw = 0; draw < 100; ++draw) CHECK(Sampler({1e-300, 0, 1, 3}).pick(logits, draw) == 1);
  constexpr float most = std::numeric_limits<float>::max();
  for (uint64_t draw = 0; draw < 100; ++draw) CHECK(Sampler({1, 0, 0.9, 3}).pick(std::vector<float>{-most, most, 0}, draw) == 1);
  CHECK(Sampler({}).pick(std::vector<float>{-most}, 0) == 0);
}

CASE("a draw is a function of seed and number") {
  const std::vector<float> logits = logs(std::vector<double>(64, 1.0 / 64));
  Sampler sampler({1, 0, 1, 5}), again({1, 0, 1, 5}), other({1, 0, 1, 6});
  int equal = 0;
  for (uint64_t draw = 100; draw-- > 0;) {
    const int32_t id = sampler.pick(logits, draw);
    CHECK(again.pick(logits, draw) == id);
    equal += other.pick(logits, draw) == id;
  }
  CHECK(equal < 20);
}

CASE("a logit that is not finite is refused wherever it stands, in every way of drawing") {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (float bad : {nan, -nan, infinity, -infinity})
    for (size_t place : {0, 1, 17, 1022, 1023})
      for (const SamplerOptions& options : {SamplerOptions{}, {1, 0, 1, 3}, {1, 5, 1, 3}, {1, 0, 0.5, 3}}) {
        std::vector<float> logits(1024, 1);
        logits[3] = 2;
        Sampler sampler(options);
        sampler.pick(logits, 0);
        logits[place] = bad;
        CHECK_THROWS(sampler.pick(logits, 1), E_NONFINITE);
        logits[place] = 0;
        sampler.pick(logits, 2);
      }
}

CASE("canary: another temperature, another cut and a biased draw are called wrong") {
  CHECK(!(worst_distance({1.1, 0, 1, 7}, logs(four), four) <= five_sigma));
  CHECK(!(worst_distance({1, 3, 1, 7}, logs(four), four) <= five_sigma));
  CHECK(!(worst_distance({1, 0, 0.74, 7}, logs(four), four) <= five_sigma));
  CHECK(!(worst_distance({1, 0, 1, 7}, logs(four), {0.125, 0.49, 0.25, 0.135}) <= five_sigma));
}

TEST_MAIN()
