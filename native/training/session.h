/// One adapter's training: micro-batches → loss and gradient → clip → optimiser. The data, the schedule and the checkpoints belong
/// to the caller; the session holds gradient and moments. Sessions of one engine can take their steps together (step.cpp).
#pragma once
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "training/core.h"
#include "training/private_step.h"

namespace fedlora {

enum class Optimizer { adamw, sgd };

struct SessionOptions {
  Optimizer optimizer = Optimizer::adamw;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  double momentum = 0;       // SGD
  double max_grad_norm = 0;  // 0: no clipping
  uint64_t dropout_seed = 0;
  Recompute recompute = Recompute::none;
  /// Of the adapter's vector, ascending and disjoint; empty: all of it. Elsewhere there is no decay, no moment and no part in the norm, and
  /// for tensors that lie there no gradient is computed.
  std::vector<Range> trainable = {};
};

/// Added to a step's gradient before its norm is taken, where the session trains:   g += mu·(w − anchor) + correction
/// The proximal term of FedProx, Ditto and pFedMe; the control variates of SCAFFOLD, the linear term of FedDyn.
struct GradientTerms {
  double mu = 0;
  Buffer<float> anchor, correction;  // in the adapter's memory; like its vector, with a core like the core's; or empty: without
};

struct StepResult {
  double loss = 0;       // mean over all supervised tokens of the step, weighted as their rows are
  double grad_norm = 0;  // before clipping
  int64_t tokens = 0, supervised = 0;
  int64_t examples = 0, clipped = 0;  // of a private step: those drawn, and those whose gradient was longer than the clip
  bool cancelled = false;
};

class Session {
 public:
  /// E_ARGUMENT for betas outside [0, 1), an epsilon that is not above 0, or ranges that are empty, out of order or outside the adapter.
  /// With a core it is that which is trained, all of it; the adapter gets its product at once and after every step.
  Session(std::shared_ptr<Engine> engine, std::shared_ptr<Adapter> adapter, const SessionOptions& options,
          std::unique_ptr<Core> core = nullptr);

  /// One optimiser step over its micro-batches. When none of their tokens is supervised nothing is updated. E_NONFINITE, naming step
  /// and micro-batch, when a loss or the gradient is not finite: the adapter is then unchanged. `cancelled` when the engine's cancel flag
  /// was raised: nothing was updated.
  StepResult step(std::span<const Batch> batches, double learning_rate) { return step(batches, learning_rate, std::nullopt); }
  /// A private step, whose examples are the rows: those of a micro-batch share a pass and have a gradient each, which is as much memory
  /// as the adapter's a row. How rows are put into micro-batches changes no bit. With `privacy` there is an update for no row as well.
  StepResult step(std::span<const Batch> batches, double learning_rate, const std::optional<PrivateStep>& privacy);

  /// For every step from now on; not part of the state. E_SHAPE for another length than the vector's, E_NONFINITE, E_ARGUMENT for a mu
  /// that is negative, not finite or without an anchor.
  void set_terms(GradientTerms terms);
  const GradientTerms& terms() const { return terms_; }

  int64_t steps() const { return steps_; }
  /// Of what is trained: the ranges end to end. Empty when the optimiser has none.
  const Buffer<float>& moment1() const { return moment1_; }
  const Buffer<float>& moment2() const { return moment2_; }
  /// E_SHAPE when a moment has another length than this session's.
  void restore(int64_t steps, std::span<const float> moment1, std::span<const float> moment2);
  Adapter& adapter() { return *adapter_; }
  /// Null without one.
  const Core* core() const { return core_.get(); }
  /// Replaces the core's values. E_ARGUMENT without a core, E_SHAPE, E_NONFINITE.
  void set_core(std::span<const float> values);

 private:
  friend class CommonStep;
  /// The optimiser's step over the gradient gathered, which is zero afterwards. Gives its norm before clipping; nothing moves when that is
  /// not finite.
  double update(double learning_rate, const std::optional<PrivateStep>& privacy);
  void drop_gradient();
  /// Where the example at `place` of a pass accumulates its gradient; zeros.
  float* example_gradient(size_t place);
  /// Adds it, clipped, to the gradient gathered, and makes it zeros again. Gives its norm; one that is not finite is not added.
  double add_clipped(size_t place, double clip);
  /// Makes the sum over the examples the step's gradient.
  void add_noise(const PrivateStep& privacy);
  /// A piece of what the optimiser moves, and where it lies in the vector that terms are like.
  struct Piece {
    std::span<float> values, gradient;
    size_t begin;
  };
  std::vector<Piece> pieces();
  /// Elements of the vector that terms are like.
  size_t vector_size() const { return core_ ? core_->size() : adapter_->values.size(); }

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Adapter> adapter_;
  std::unique_ptr<Core> core_;
  SessionOptions options_;
  std::vector<Range>
      trained_;  // in the adapter's vector, neighbours joined; gradients beside them, in a tensor that they cut, are not read
  GradientTerms terms_;
  Buffer<float> gradient_, moment1_, moment2_;
  std::vector<Buffer<float>> examples_;
  int64_t steps_ = 0;
};

/// One session's part of a common step.
struct SessionStep {
  Session* session = nullptr;
  std::span<const Batch> batches;
  double learning_rate = 0;
  std::optional<PrivateStep> privacy = {};
};

struct SessionOutcome {
  StepResult result;
  std::optional<Error> error;  // E_NONFINITE, as Session::step throws it
};

/// One optimiser step of each of several sessions over the same engine. Micro-batches of different sessions share a pass over the frozen
/// weights, up to `most_tokens` a pass (a larger one goes alone) and with the same recomputation. Each session gets exactly what its own
/// step() would give it: result, adapter, moments, and its own failure; one that diverges does not hold up the others. Cancelling stops
/// them all: none is updated. E_ARGUMENT when a session or an adapter appears twice, or the engines differ.
std::vector<SessionOutcome> step_together(std::span<const SessionStep> steps, int64_t most_tokens = std::numeric_limits<int64_t>::max());

struct MeanLoss {
  double loss = 0;  // over the supervised tokens, weighted as their rows are
  int64_t supervised = 0, tokens = 0;
};

/// Mean loss over the supervised tokens and its gradient (flat, the host's, zeroed first). E_ARGUMENT when no token is supervised.
MeanLoss loss_and_gradient(Engine& engine, const Adapter& adapter, const Batch& batch, std::span<float> gradient);

}  // namespace fedlora
