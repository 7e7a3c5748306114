#include "training/session.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fedlora {

namespace {
/// The ranges with neighbours joined; all of the vector when there is none.
std::vector<Range> joined(const std::vector<Range>& ranges, int64_t size) {
  if (ranges.empty()) return {{0, size}};
  std::vector<Range> all;
  for (const Range& range : ranges) {
    const int64_t from = all.empty() ? 0 : all.back().end;
    if (range.begin < from || range.end <= range.begin || range.end > size)
      fail(Code::E_ARGUMENT,
           "options.trainable: [%lld, %lld) after element %lld of %lld, expected ranges that are not empty, ascending and disjoint",
           static_cast<long long>(range.begin), static_cast<long long>(range.end), static_cast<long long>(from),
           static_cast<long long>(size));
    if (!all.empty() && range.begin == from)
      all.back().end = range.end;
    else
      all.push_back(range);
  }
  return all;
}

void check_term(const char* name, const Buffer<float>& term, size_t size) {
  if (term.size() == 0) return;
  if (term.size() != size) fail(Code::E_SHAPE, "%s: %zu values for a vector of %zu", name, term.size(), size);
  const HostView<float> values(term);
  for (size_t i = 0; i < size; ++i)
    if (!std::isfinite(values[i])) fail(Code::E_NONFINITE, "%s: value %zu is not finite", name, i);
}
}  // namespace

Session::Session(std::shared_ptr<Engine> engine, std::shared_ptr<Adapter> adapter, const SessionOptions& options,
                 std::unique_ptr<Core> core)
    : engine_(std::move(engine)),
      adapter_(std::move(adapter)),
      core_(std::move(core)),
      options_(options),
      trained_(joined(core_ ? core_->of_A() : options.trainable, adapter_->size())),
      gradient_(adapter_->values.memory(), adapter_->values.size()) {
  if (core_ && !options.trainable.empty()) fail(Code::E_ARGUMENT, "options.trainable: a core is trained whole");
  const auto is_beta = [](double beta) { return beta >= 0 && beta < 1; };
  if (!is_beta(options.beta1) || !is_beta(options.beta2)) fail(Code::E_ARGUMENT, "options.optimizer: betas are from 0 on and below 1");
  if (!(options.epsilon > 0)) fail(Code::E_ARGUMENT, "options.optimizer.epsilon: expected more than 0");
  const std::shared_ptr<Memory>& memory = adapter_->values.memory();
  size_t size = 0;
  for (const Piece& piece : pieces()) size += piece.values.size();
  if (options.optimizer == Optimizer::adamw || options.momentum != 0) moment1_ = Buffer<float>(memory, size);
  if (options.optimizer == Optimizer::adamw) moment2_ = Buffer<float>(memory, size);
  if (core_) core_->apply(*adapter_);
}

void Session::restore(int64_t steps, std::span<const float> moment1, std::span<const float> moment2) {
  if (moment1.size() != moment1_.size() || moment2.size() != moment2_.size())
    fail(Code::E_SHAPE,
         "optimiser state of %zu + %zu values, expected %zu + %zu: it belongs to another adapter, optimiser or choice of what is trained",
         moment1.size(), moment2.size(), moment1_.size(), moment2_.size());
  if (steps < 0) fail(Code::E_ARGUMENT, "the step count %lld is negative", static_cast<long long>(steps));
  moment1_.upload(moment1);
  moment2_.upload(moment2);
  steps_ = steps;
}

void Session::set_core(std::span<const float> values) {
  if (!core_) fail(Code::E_ARGUMENT, "this session trains no core");
  core_->write(values);
  core_->apply(*adapter_);
}

void Session::set_terms(GradientTerms terms) {
  if (!(terms.mu >= 0) || !std::isfinite(static_cast<float>(terms.mu)))
    fail(Code::E_ARGUMENT, "terms.mu is %g, expected a finite number from 0 on", terms.mu);
  if (terms.mu > 0 && terms.anchor.size() == 0) fail(Code::E_ARGUMENT, "terms.mu is %g, but there is no anchor to pull to", terms.mu);
  check_term("terms.anchor", terms.anchor, vector_size());
  check_term("terms.correction", terms.correction, vector_size());
  terms_ = std::move(terms);
}

MeanLoss loss_and_gradient(Engine& engine, const Adapter& adapter, const Batch& batch, std::span<float> gradient) {
  if (batch.supervised.empty())
    fail(Code::E_ARGUMENT, "no token of the batch is supervised: every label is -100 or belongs to a row's first token");
  const std::shared_ptr<Memory>& memory = engine.transformer->backend().memory();
  Buffer<float> elsewhere;
  HostOutput output(memory, gradient.data(), gradient.size(), elsewhere);
  memory->zero(output.place(), gradient.size_bytes());
  const float grad_scale = static_cast<float>(1.0 / batch.weight());
  const AdapterSegment segment{0, batch.tokens(), &adapter, output.place(), grad_scale};
  const LossSums sums = engine.transformer->accumulate(batch, {&segment, 1}, Recompute::none).front();
  output.finish();
  if (!std::isfinite(sums.loss)) fail(Code::E_NONFINITE, "the loss of the batch is not finite");
  return {sums.loss / batch.weight(), sums.supervised, sums.tokens};
}

}  // namespace fedlora
