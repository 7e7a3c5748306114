// What becomes of a step's gradient, over what is trained.
//
//   g += mu·(w − anchor) + correction      clip: g · min(1, max_norm / (‖g‖ + 1e-6))      then the optimiser
#include <algorithm>
#include <cmath>

#include "training/session.h"

namespace fedlora {

namespace {
/// `count` values from `first` on of a vector; none of one that is not there.
template <class Buffer>
auto part(Buffer& buffer, size_t first, size_t count) {
  const std::span all(buffer.data(), buffer.size());
  return all.empty() ? all : all.subspan(first, count);
}
}  // namespace

void Session::drop_gradient() {
  gradient_.zero();
  examples_.clear();
}

std::vector<Session::Piece> Session::pieces() {
  if (core_) return {{part(core_->values, 0, core_->values.size()), part(core_->gradient, 0, core_->gradient.size()), 0}};
  std::vector<Piece> pieces;
  for (const Range& range : trained_) {
    const size_t begin = static_cast<size_t>(range.begin), count = static_cast<size_t>(range.size());
    pieces.push_back({part(adapter_->values, begin, count), part(gradient_, begin, count), begin});
  }
  return pieces;
}

double Session::update(double learning_rate, const std::optional<PrivateStep>& privacy) {
  Backend& backend = engine_->transformer->backend();
  const std::vector<Piece> pieces = this->pieces();
  const Buffer<float> none;
  const Buffer<float>& anchor = terms_.mu > 0 ? terms_.anchor : none;
  if (core_) core_->gather(gradient_);
  if (privacy) add_noise(*privacy);
  double squares = 0;
  for (const auto& [values, gradient, begin] : pieces) {
    if (!anchor.empty() || !terms_.correction.empty())
      backend.gradient_terms(static_cast<float>(terms_.mu), values, part(anchor, begin, values.size()),
                             part(terms_.correction, begin, values.size()), gradient);
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
  size_t at = 0;  // in the moments
  for (const auto& [values, gradient, begin] : pieces) {
    const std::span<float> moment1 = part(moment1_, at, values.size());
    if (options_.optimizer == Optimizer::adamw)
      backend.adamw({learning_rate, options_.beta1, options_.beta2, options_.epsilon, options_.weight_decay, steps_ + 1, clip}, values,
                    gradient, moment1, part(moment2_, at, values.size()));
    else
      backend.sgd(static_cast<float>(learning_rate), static_cast<float>(options_.momentum), static_cast<float>(options_.weight_decay), clip,
                  steps_ == 0, values, gradient, moment1);
    at += values.size();
  }
  if (core_) {
    gradient_.zero();  // the optimiser zeroed the core's
    core_->apply(*adapter_);
  }
  ++adapter_->version;
  ++steps_;
  return norm;
}

}  // namespace fedlora
