// Gradients of single examples: each in memory of its own until it is clipped and added (private_step.h).
#include "training/private_step.h"

#include <cmath>

#include "training/session.h"
#include "vectors/noise.h"

namespace fedlora {

void check(const PrivateStep& privacy) {
  const auto& [clip, noise_multiplier, expected, key] = privacy;
  if (!(noise_multiplier >= 0) || !std::isfinite(noise_multiplier))
    fail(Code::E_ARGUMENT, "privacy.noiseMultiplier is %g, expected a finite number from 0 on", noise_multiplier);
  if (!(clip > 0) || (noise_multiplier > 0 && !std::isfinite(clip)))
    fail(Code::E_ARGUMENT, "privacy.clip is %g, expected a number above 0, finite where noise is added", clip);
  if (!(expected > 0) || !std::isfinite(expected))
    fail(Code::E_ARGUMENT, "privacy.expectedExamples is %g, expected a finite number above 0", expected);
}

float* Session::example_gradient(size_t place) {
  while (examples_.size() <= place) examples_.emplace_back(adapter_->values.memory(), adapter_->values.size());
  return examples_[place].data();
}

double Session::add_clipped(size_t place, double clip) {
  Backend& backend = engine_->transformer->backend();
  Buffer<float>& example = examples_[place];
  double squares = 0;
  if (core_) {
    core_->gather(example);
    squares = backend.sum_of_squares(core_->gradient.span());
  } else {
    for (const Range& range : trained_)
      squares += backend.sum_of_squares(example.span().subspan(static_cast<size_t>(range.begin), static_cast<size_t>(range.size())));
  }
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) return norm;
  // A little below C/‖g‖: products round, and what is added must not be longer than C.
  const float scale = norm > clip ? static_cast<float>(clip / norm * (1 - 0x1p-22)) : 1.0f;
  for (const Range& range : trained_) {
    const size_t begin = static_cast<size_t>(range.begin), count = static_cast<size_t>(range.size());
    backend.sgd(-1, 0, 0, scale, false, gradient_.span().subspan(begin, count), example.span().subspan(begin, count), {});
  }
  return norm;
}

void Session::add_noise(const PrivateStep& privacy) {
  const double deviation = privacy.noise_multiplier > 0 ? privacy.noise_multiplier * privacy.clip : 0;
  const Noise noise{privacy.key, deviation, privacy.expected_examples};
  int64_t first = 0;
  const auto onto = [&](Buffer<float>& sum, const Range& range) {
    edit(sum, static_cast<size_t>(range.begin), static_cast<size_t>(range.end),
         [&](std::span<float> values) { fedlora::add_noise(values, noise, first); });
    first += range.size();
  };
  if (core_) return onto(core_->gradient, {0, static_cast<int64_t>(core_->size())});
  for (const Range& range : trained_) onto(gradient_, range);
}

}  // namespace fedlora
