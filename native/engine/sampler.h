/// Picks the next token from logits: greedy, or a draw after temperature, top-k and top-p. Seeded: draw i of a generation is a
/// pure function of (seed, i).
///   p_j ∝ e^(logit_j / temperature) over the top-k most probable; of these the fewest whose mass reaches top_p
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fedlora {

struct SamplerOptions {
  double temperature = 0;  // 0: greedy
  int top_k = 0;           // 0: off
  double top_p = 1;        // 1: off; keeps the smallest set of most probable tokens whose mass reaches top_p
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options) {}
  /// Equal logits: the smaller id counts as the more probable. E_NONFINITE, naming the first, when a logit is NaN or infinite.
  int32_t pick(std::span<const float> logits, uint64_t draw);

 private:
  SamplerOptions options_;
  std::vector<int32_t> order_;
  std::vector<double> weight_;
};

}  // namespace fedlora
