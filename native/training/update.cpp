// What becomes of a step's gradient, over the ranges that are trained.
//
//   g += mu·(w − anchor) + correction      clip: g · min(1, max_norm / (‖g‖ + 1e-6))      then the optimiser
#include <algorithm>
#include <cmath>

#include "training/session.h"

namespace fedlora {

namespace {
/// `count` values from `first` on of a vector; none of one that is not there.
template <class Buffer>
auto part(Buffer& buffer, int64_t first, int64_t count) {
  const std::span all(buffer.data(), buffer.size());
  return all.empty() ? all : all.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
}
}  // namespace

void Session::drop_gradient() { std::fill(gradient_.begin(), gradient_.end(), 0.0f); }

double Session::update(double learning_rate) {
  Backend& backend = engine_->transformer->backend();
  const AlignedBuffer<float> none;
  const AlignedBuffer<float>& anchor = terms_.mu > 0 ? terms_.anchor : none;
  double squares = 0;
  for (const auto& [begin, end] : trained_) {
    const int64_t count = end - begin;
    const std::span<float> gradient = part(gradient_, begin, count);
    if (anchor.size() > 0 || terms_.correction.size() > 0)
      backend.gradient_terms(static_cast<float>(terms_.mu), part(adapter_->values, begin, count), part(anchor, begin, count),
                             part(terms_.correction, begin, count), gradient);
    squares += backend.sum_of_squares(gradient);
  }
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) {
    drop_gradient();
    return norm;
  }
  // torch.nn.utils.clip_grad_norm_: scale by max / (norm + 1e-6) when that is below 1
  float clip = 1;
  if (options_.max_grad_norm > 0) clip = static_cast<float>(std::min(1.0, options_.max_grad_norm / (norm + 1e-6)));
  int64_t at = 0;  // in the moments
  for (const auto& [begin, end] : trained_) {
    const int64_t count = end - begin;
    const std::span<float> values = part(adapter_->values, begin, count), gradient = part(gradient_, begin, count),
                           moment1 = part(moment1_, at, count);
    if (options_.optimizer == Optimizer::adamw)
      backend.adamw({learning_rate, options_.beta1, options_.beta2, options_.epsilon, options_.weight_decay, steps_ + 1, clip}, values,
                    gradient, moment1, part(moment2_, at, count));
    else
      backend.sgd(static_cast<float>(learning_rate), static_cast<float>(options_.momentum), static_cast<float>(options_.weight_decay), clip,
                  steps_ == 0, values, gradient, moment1);
    at += count;
  }
  for (const Range& range : untrained_) backend.zero(range.size(), gradient_.data() + range.begin);
  ++adapter_->version;
  ++steps_;
  return norm;
}

}  // namespace fedlora
