#include "training/session.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fedlora {

namespace {
/// Micro-batches of a run are numbered step × this + index, so that dropout masks resume where they stopped.
constexpr uint64_t micro_batches_per_step = 1 << 12;

int64_t count_supervised(std::span<const Batch> batches) {
  int64_t count = 0;
  for (const Batch& batch : batches) count += static_cast<int64_t>(batch.supervised.size());
  return count;
}

void zero(AlignedBuffer<float>& buffer) { std::fill(buffer.begin(), buffer.end(), 0.0f); }
}  // namespace

Session::Session(std::shared_ptr<Engine> engine, std::shared_ptr<Adapter> adapter, const SessionOptions& options)
    : engine_(std::move(engine)), adapter_(std::move(adapter)), options_(options), gradient_(adapter_->values.size()) {
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

StepResult Session::step(std::span<const Batch> batches, double learning_rate) {
  StepResult result;
  result.supervised = count_supervised(batches);
  for (const Batch& batch : batches) result.tokens += batch.tokens();
  if (result.supervised == 0) return result;

  Transformer& transformer = *engine_->transformer;
  Backend& backend = transformer.backend();
  const float grad_scale = static_cast<float>(1.0 / static_cast<double>(result.supervised));
  double loss = 0;
  try {
    for (size_t i = 0; i < batches.size(); ++i) {
      const AdapterSegment segment{0,
                                   batches[i].tokens(),
                                   adapter_.get(),
                                   gradient_.data(),
                                   true,
                                   options_.dropout_seed,
                                   static_cast<uint64_t>(steps_) * micro_batches_per_step + i};
      const double sum = transformer.accumulate(batches[i], {&segment, 1}, grad_scale, options_.recompute).loss;
      if (!std::isfinite(sum))
        fail(Code::E_NONFINITE, "the loss of step %lld, micro-batch %zu is not finite: lower the learning rate or look at its rows",
             static_cast<long long>(steps_ + 1), i);
      loss += sum;
    }
  } catch (const Cancelled&) {
    zero(gradient_);
    result.cancelled = true;
    return result;
  } catch (...) {
    zero(gradient_);
    throw;
  }
  result.loss = loss / static_cast<double>(result.supervised);
  result.grad_norm = std::sqrt(backend.sum_of_squares({gradient_.data(), gradient_.size()}));
  if (!std::isfinite(result.grad_norm)) {
    zero(gradient_);
    fail(Code::E_NONFINITE, "the gradient of step %lld is not finite: lower the learning rate or set maxGradNorm",
         static_cast<long long>(steps_ + 1));
  }
  // torch.nn.utils.clip_grad_norm_: scale by max / (norm + 1e-6) when that is below 1
  float clip = 1;
  if (options_.max_grad_norm > 0) clip = static_cast<float>(std::min(1.0, options_.max_grad_norm / (result.grad_norm + 1e-6)));
  const std::span<float> values(adapter_->values.data(), adapter_->values.size()), gradient(gradient_.data(), gradient_.size());
  const std::span<float> moment1(moment1_.data(), moment1_.size()), moment2(moment2_.data(), moment2_.size());
  if (options_.optimizer == Optimizer::adamw)
    backend.adamw({learning_rate, options_.beta1, options_.beta2, options_.epsilon, options_.weight_decay, steps_ + 1, clip}, values,
                  gradient, moment1, moment2);
  else
    backend.sgd(static_cast<float>(learning_rate), static_cast<float>(options_.momentum), static_cast<float>(options_.weight_decay), clip,
                steps_ == 0, values, gradient, moment1);
  ++steps_;
  return result;
}

LossSums loss_and_gradient(Engine& engine, const Adapter& adapter, const Batch& batch, std::span<float> gradient) {
  if (batch.supervised.empty())
    fail(Code::E_ARGUMENT, "no token of the batch is supervised: every label is -100 or belongs to a row's first token");
  std::fill(gradient.begin(), gradient.end(), 0.0f);
  const float grad_scale = static_cast<float>(1.0 / static_cast<double>(batch.supervised.size()));
  const AdapterSegment segment{0, batch.tokens(), &adapter, gradient.data()};
  LossSums sums = engine.transformer->accumulate(batch, {&segment, 1}, grad_scale, Recompute::none);
  if (!std::isfinite(sums.loss)) fail(Code::E_NONFINITE, "the loss of the batch is not finite");
  return sums;
}

}  // namespace fedlora
