// One optimiser step of one session, or of several that share their passes over the frozen weights.
//
//   g = Σ over micro-batches of d(Σ weight · loss) / (Σ weight over the supervised tokens of the step); what follows is Session::update
//
// A pass holds at most one micro-batch of a session, as a segment of rows of its own with its own adapter, gradient and scale, or in a
// private step (private_step.h) as one such segment an example; a session's micro-batches keep their order. What a segment computes depends
// on nothing beside it (backend/ops.h), so how micro-batches are grouped into passes changes no bit.
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
      if (step.privacy) check(*step.privacy);
      Member member{*step.session, step.batches, step.learning_rate, step.privacy, 0, 0, 0, 0, {}};
      for (const Batch& batch : step.batches) {
        member.weight += batch.weight();
        member.outcome.result.tokens += batch.tokens();
        member.outcome.result.supervised += static_cast<int64_t>(batch.supervised.size());
        if (step.privacy) member.outcome.result.examples += batch.rows();
      }
      if (member.outcome.result.examples > most_examples)
        fail(Code::E_ARGUMENT, "a private step of %lld examples, expected at most %lld",
             static_cast<long long>(member.outcome.result.examples), static_cast<long long>(most_examples));
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
      if (cancelled && !member.outcome.error) result.cancelled = result.supervised > 0 || member.privacy;
      if (cancelled || member.outcome.error)
        member.session.drop_gradient();
      else if (result.supervised > 0 || member.privacy)
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
    std::optional<PrivateStep> privacy;
    size_t next;      // micro-batch
    int64_t example;  // its first row's number in the step
    double loss, weight;
    SessionOutcome outcome;
  };

  static void advance(Member& member) { member.example += member.batches[member.next++].rows(); }

  /// The next micro-batch that has something to learn, or null.
  static const Batch* next_batch(Member& member) {
    if (member.outcome.error) return nullptr;
    while (member.next < member.batches.size() && member.batches[member.next].supervised.empty()) advance(member);
    return member.next < member.batches.size() ? &member.batches[member.next] : nullptr;
  }

  /// A micro-batch's segments in a pass where it begins with row `first`: one, or of a private step one for each of its rows.
  static void add_segments(Member& member, const Batch& batch, int64_t first, std::vector<AdapterSegment>& segments) {
    Session& session = member.session;
    const uint64_t step = static_cast<uint64_t>(session.steps_);
    const auto add = [&](int64_t begin, int64_t end, float* gradient, double weight, uint64_t number) {
      segments.push_back({first + begin, first + end, session.adapter_.get(), gradient, static_cast<float>(1.0 / weight), true,
                          session.options_.dropout_seed, number, session.trained_});
    };
    if (!member.privacy)
      return add(0, batch.tokens(), session.gradient_.data(), member.weight, step * micro_batches_per_step + member.next);
    size_t at = 0;
    for (int64_t row = 0; row < batch.rows(); ++row) {
      const int64_t begin = batch.offsets[static_cast<size_t>(row)], end = batch.offsets[static_cast<size_t>(row) + 1];
      const size_t before = at;
      while (at < batch.supervised.size() && batch.supervised[at] < end) ++at;
      float* gradient = at > before ? session.example_gradient(static_cast<size_t>(row)) : nullptr;
      add(begin, end, gradient, static_cast<double>(std::max<size_t>(1, at - before)),
          step * most_examples + static_cast<uint64_t>(member.example + row));
    }
  }

  /// Takes over what the segments of a member's micro-batch gave.
  static void gather(Member& member, std::span<const LossSums> segments) {
    const auto fail_here = [&](const char* what) {
      refuse(member, format_text("%s of step %lld, micro-batch %zu is not finite: lower the learning rate or look at its rows", what,
                                 static_cast<long long>(member.session.steps_ + 1), member.next));
    };
    for (size_t row = 0; row < segments.size() && !member.outcome.error; ++row) {
      if (!std::isfinite(segments[row].loss)) return fail_here("the loss");
      member.loss += segments[row].loss;
      if (!member.privacy || segments[row].supervised == 0) continue;
      const double norm = member.session.add_clipped(row, member.privacy->clip);
      if (!std::isfinite(norm)) return fail_here("the gradient of a row");
      member.outcome.result.clipped += norm > member.privacy->clip;
    }
    advance(member);
  }

  /// Forward and backward of what fits into one pass; false when nothing is left.
  bool pass() {
    std::vector<Member*> present;
    std::vector<const Batch*> parts;
    std::vector<AdapterSegment> segments;
    std::vector<size_t> begins;  // of each part's segments
    int64_t tokens = 0;
    for (Member& member : members_) {
      const Batch* batch = next_batch(member);
      if (batch == nullptr) continue;
      if (!parts.empty() &&
          (tokens + batch->tokens() > most_tokens_ || member.session.options_.recompute != present.front()->session.options_.recompute))
        continue;
      begins.push_back(segments.size());
      add_segments(member, *batch, tokens, segments);
      present.push_back(&member);
      parts.push_back(batch);
      tokens += batch->tokens();
    }
    if (parts.empty()) return false;
    begins.push_back(segments.size());
    Transformer& transformer = *present.front()->session.engine_->transformer;
    const Recompute recompute = present.front()->session.options_.recompute;
    const std::vector<LossSums> sums = parts.size() == 1 ? transformer.accumulate(*parts.front(), segments, recompute)
                                                         : transformer.accumulate(concatenate(parts), segments, recompute);
    for (size_t i = 0; i < present.size(); ++i) gather(*present[i], std::span(sums).subspan(begins[i], begins[i + 1] - begins[i]));
    if (const auto& between_passes = present.front()->session.engine_->between_passes) between_passes();
    return true;
  }

  static void refuse(Member& member, const std::string& message) { member.outcome.error = Error(Code::E_NONFINITE, message); }

  static void update(Member& member) {
    StepResult& result = member.outcome.result;
    const int64_t number = member.session.steps_ + 1;
    result.grad_norm = member.session.update(member.learning_rate, member.privacy);
    if (!std::isfinite(result.grad_norm))
      return refuse(member, format_text("the gradient of step %lld is not finite: lower the learning rate or set maxGradNorm",
                                        static_cast<long long>(number)));
    if (result.supervised > 0) result.loss = member.loss / member.weight;
  }

  std::vector<Member> members_;
  int64_t most_tokens_;
};

std::vector<SessionOutcome> step_together(std::span<const SessionStep> steps, int64_t most_tokens) {
  return CommonStep(steps, most_tokens).run();
}

StepResult Session::step(std::span<const Batch> batches, double learning_rate, const std::optional<PrivateStep>& privacy) {
  const SessionStep own{this, batches, learning_rate, privacy};
  SessionOutcome outcome = std::move(step_together({&own, 1}).front());
  if (outcome.error) throw *outcome.error;
  return outcome.result;
}

}  // namespace fedlora
