// One optimiser step of one session, or of several that share their passes over the frozen weights.
//
//   g = Σ over micro-batches of d(Σ weight · loss) / (Σ weight over the supervised tokens of the step); what follows is Session::update
//
// A pass holds at most one micro-batch of a session, as a segment of rows of its own with its own adapter, gradient and scale; a session's
// micro-batches keep their order. What a segment computes depends on nothing beside it (backend/ops.h), so how micro-batches are grouped
// into passes changes no bit.
#include <algorithm>
#include <cmath>

#include "training/session.h"

namespace fedlora {

namespace {
/// Micro-batches of a run are numbered step × this + index, so that dropout masks resume where they stopped.
constexpr uint64_t micro_batches_per_step = 1 << 12;
}  // namespace

class CommonStep {
 public:
  CommonStep(std::span<const SessionStep> steps, int64_t most_tokens) : most_tokens_(most_tokens) {
    for (const SessionStep& step : steps) {
      Member member{*step.session, step.batches, step.learning_rate, 0, 0, 0, {}};
      for (const Batch& batch : step.batches) {
        member.weight += batch.weight();
        member.outcome.result.tokens += batch.tokens();
        member.outcome.result.supervised += static_cast<int64_t>(batch.supervised.size());
      }
      for (const Member& other : members_) {
        if (other.session.adapter_ == step.session->adapter_) fail(Code::E_ARGUMENT, "an adapter takes part in a common step twice");
        if (other.session.engine_ != step.session->engine_) fail(Code::E_ARGUMENT, "the sessions of a common step use different models");
      }
      members_.push_back(member);
    }
  }

  std::vector<SessionOutcome> run() {
    bool cancelled = false;
    try {
      while (pass()) {
      }
    } catch (const Cancelled&) {
      cancelled = true;
    } catch (...) {
      for (Member& member : members_) member.session.drop_gradient();
      throw;
    }
    std::vector<SessionOutcome> outcomes;
    for (Member& member : members_) {
      StepResult& result = member.outcome.result;
      if (cancelled && !member.outcome.error) result.cancelled = result.supervised > 0;
      if (cancelled || member.outcome.error)
        member.session.drop_gradient();
      else if (result.supervised > 0)
        update(member);
      outcomes.push_back(std::move(member.outcome));
    }
    return outcomes;
  }

 private:
  struct Member {
    Session& session;
    std::span<const Batch> batches;
    double learning_rate;
    size_t next;  // micro-batch
    double loss, weight;
    SessionOutcome outcome;
  };

  /// The next micro-batch that has something to learn, or null.
  static const Batch* next_batch(Member& member) {
    if (member.outcome.error) return nullptr;
    while (member.next < member.batches.size() && member.batches[member.next].supervised.empty()) ++member.next;
    return member.next < member.batches.size() ? &member.batches[member.next] : nullptr;
  }

  /// Forward and backward of what fits into one pass; false when nothing is left.
  bool pass() {
    std::vector<Member*> present;
    std::vector<const Batch*> parts;
    std::vector<AdapterSegment> segments;
    int64_t tokens = 0;
    for (Member& member : members_) {
      const Batch* batch = next_batch(member);
      if (batch == nullptr) continue;
      if (!parts.empty() &&
          (tokens + batch->tokens() > most_tokens_ || member.session.options_.recompute != present.front()->session.options_.recompute))
        continue;
      Session& session = member.session;
      segments.push_back({tokens, tokens + batch->tokens(), session.adapter_.get(), session.gradient_.data(),
                          static_cast<float>(1.0 / member.weight), true, session.options_.dropout_seed,
                          static_cast<uint64_t>(session.steps_) * micro_batches_per_step + member.next, session.trained_});
      present.push_back(&member);
      parts.push_back(batch);
      tokens += batch->tokens();
    }
    if (parts.empty()) return false;
    Transformer& transformer = *present.front()->session.engine_->transformer;
    const Recompute recompute = present.front()->session.options_.recompute;
    const std::vector<LossSums> sums = parts.size() == 1 ? transformer.accumulate(*parts.front(), segments, recompute)
                                                         : transformer.accumulate(concatenate(parts), segments, recompute);
    for (size_t i = 0; i < present.size(); ++i) {
      Member& member = *present[i];
      if (!std::isfinite(sums[i].loss))
        refuse(member, format_text("the loss of step %lld, micro-batch %zu is not finite: lower the learning rate or look at its rows",
                                   static_cast<long long>(member.session.steps_ + 1), member.next));
      member.loss += sums[i].loss;
      ++member.next;
    }
    if (const auto& between_passes = present.front()->session.engine_->between_passes) between_passes();
    return true;
  }

  static void refuse(Member& member, const std::string& message) { member.outcome.error = Error(Code::E_NONFINITE, message); }

  static void update(Member& member) {
    StepResult& result = member.outcome.result;
    const int64_t number = member.session.steps_ + 1;
    result.grad_norm = member.session.update(member.learning_rate);
    if (!std::isfinite(result.grad_norm))
      return refuse(member, format_text("the gradient of step %lld is not finite: lower the learning rate or set maxGradNorm",
                                        static_cast<long long>(number)));
    result.loss = member.loss / member.weight;
  }

  std::vector<Member> members_;
  int64_t most_tokens_;
};

std::vector<SessionOutcome> step_together(std::span<const SessionStep> steps, int64_t most_tokens) {
  return CommonStep(steps, most_tokens).run();
}

StepResult Session::step(std::span<const Batch> batches, double learning_rate) {
  const SessionStep own{this, batches, learning_rate};
  SessionOutcome outcome = std::move(step_together({&own, 1}).front());
  if (outcome.error) throw *outcome.error;
  return outcome.result;
}

}  // namespace fedlora
