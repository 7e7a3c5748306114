/// Picks the next token from logits: greedy, or a draw after temperature, top-k and top-p. Seeded: draw i of a generation is a
/// pure function of (seed, i).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fedlora {

struct SamplerOptions {
  float temperature = 0;  // 0: greedy (ties: the smallest id)
  int top_k = 0;          // 0: off
  float top_p = 1;        // 1: off; keeps the smallest set of most probable tokens whose mass reaches top_p
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options) {}
  int32_t pick(std::span<const float> logits, uint64_t draw);

 private:
  SamplerOptions options_;
  std::vector<int32_t> order_;
  std::vector<double> weight_;
};

}  // namespace fedlora
