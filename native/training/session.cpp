#include "training/session.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fedlora {

Session::Session(std::shared_ptr<Engine> engine, std::shared_ptr<Adapter> adapter, const SessionOptions& options)
    : engine_(std::move(engine)), adapter_(std::move(adapter)), options_(options), gradient_(adapter_->values.size()) {
  const auto is_beta = [](double beta) { return beta >= 0 && beta < 1; };
  if (!is_beta(options.beta1) || !is_beta(options.beta2)) fail(Code::E_ARGUMENT, "options.optimizer: betas are from 0 on and below 1");
  if (!(options.epsilon > 0)) fail(Code::E_ARGUMENT, "options.optimizer.epsilon: expected more than 0");
  const size_t size = adapter_->values.size();
  if (options.optimizer == Optimizer::adamw || options.momentum != 0) moment1_ = AlignedBuffer<float>(size);
  if (options.optimizer == Optimizer::adamw) moment2_ = AlignedBuffer<float>(size);
}

void Session::restore(int64_t steps, std::span<const float> moment1, std::span<const float> moment2) {
  if (moment1.size() != moment1_.size() || moment2.size() != moment2_.size())
    fail(Code::E_SHAPE, "optimiser state of %zu + %zu values, expected %zu + %zu: it belongs to another adapter or optimiser",
         moment1.size(), moment2.size(), moment1_.size(), moment2_.size());
  if (steps < 0) fail(Code::E_ARGUMENT, "the step count %lld is negative", static_cast<long long>(steps));
  std::copy(moment1.begin(), moment1.end(), moment1_.begin());
  std::copy(moment2.begin(), moment2.end(), moment2_.begin());
  steps_ = steps;
}

MeanLoss loss_and_gradient(Engine& engine, const Adapter& adapter, const Batch& batch, std::span<float> gradient) {
  if (batch.supervised.empty())
    fail(Code::E_ARGUMENT, "no token of the batch is supervised: every label is -100 or belongs to a row's first token");
  std::fill(gradient.begin(), gradient.end(), 0.0f);
  const float grad_scale = static_cast<float>(1.0 / static_cast<double>(batch.supervised.size()));
  const AdapterSegment segment{0, batch.tokens(), &adapter, gradient.data(), grad_scale};
  const LossSums sums = engine.transformer->accumulate(batch, {&segment, 1}, Recompute::none).front();
  if (!std::isfinite(sums.loss)) fail(Code::E_NONFINITE, "the loss of the batch is not finite");
  return {sums.loss / static_cast<double>(sums.supervised), sums.supervised, sums.tokens};
}

}  // namespace fedlora
