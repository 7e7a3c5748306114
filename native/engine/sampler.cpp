#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/philox.h"

namespace fedlora {

namespace {
/// Infinity and NaN are what has all bits of the exponent set. Without a branch, so that compilers vectorise it.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t exponent = 0x7f800000;
  uint32_t found = 0;
  for (float value : values) found |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & exponent) == exponent);
  return found == 0;
}
}  // namespace

int32_t Sampler::pick(std::span<const float> logits, uint64_t draw) {
  if (!all_finite(logits)) {
    const auto first = std::find_if(logits.begin(), logits.end(), [](float logit) { return !std::isfinite(logit); });
    fail(Code::E_NONFINITE, "token %llu of the generation: logit %td of %zu is %g; the adapter or the weights are beyond float32",
         static_cast<unsigned long long>(draw), first - logits.begin(), logits.size(), static_cast<double>(*first));
  }
  const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  if (options_.temperature <= 0) return best;

  order_.resize(logits.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto more_probable = [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] != logits[static_cast<size_t>(b)]
               ? logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]
               : a < b;
  };
  size_t kept = order_.size();
  if (options_.top_k > 0) kept = std::min(kept, static_cast<size_t>(options_.top_k));
  if (options_.top_p < 1 || kept < order_.size())
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept), order_.end(), more_probable);

  weight_.resize(kept);
  double total = 0;
  for (size_t i = 0; i < kept; ++i) {
    const double logit = logits[static_cast<size_t>(order_[i])], top = logits[static_cast<size_t>(best)];
    total += weight_[i] = std::exp((logit - top) / options_.temperature);
  }
  if (options_.top_p < 1) {
    double mass = 0;
    size_t nucleus = 0;
    while (nucleus < kept && mass < options_.top_p * total) mass += weight_[nucleus++];
    kept = std::max<size_t>(nucleus, 1);
    total = 0;
    for (size_t i = 0; i < kept; ++i) total += weight_[i];
  }
  const auto words = Philox{options_.seed, 0x67656e}(draw);
  double left = (static_cast<double>(words[0]) * 0x1p-32 + static_cast<double>(words[1]) * 0x1p-64) * total;
  for (size_t i = 0; i < kept; ++i) {
    left -= weight_[i];
    if (left < 0) return order_[i];
  }
  return order_[kept - 1];
}

}  // namespace fedlora
