// A core between frozen factors: its gradient by differences of the loss and by products in double, what the adapter holds, and that it is
// an ordinary vector to optimiser, terms, restoring and common steps.
#include <cmath>
#include <cstring>

#include "base/philox.h"
#include "engine/load.h"
#include "golden_model.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {
using Values = std::vector<float>;

std::shared_ptr<Engine> engine_of() {
  LoadOptions options;
  options.description = golden_description("llama");
  options.compute = Compute::f32;
  options.threads = 2;
  return random_engine(options, 5);
}

/// Ranks 3 and 4 in turn on every linear layer.
std::shared_ptr<Adapter> adapter_of(const Description& description) {
  std::vector<AdapterLayer> layers;
  for (const BlockSpec& layer : description.layers)
    for (int linear = 0; linear < linears_per_layer; ++linear) layers.push_back({layer.linear(linear).module, 3 + linear % 2, 1.5f, 0});
  auto adapter = std::make_shared<Adapter>(AdapterMap(description, layers));
  for (size_t i = 0; i < adapter->values.size(); ++i) adapter->values.span()[i] = 0.4f * uniform_f32(Philox{9, 9}(i)[0]) - 0.2f;
  return adapter;
}

/// Near the identity, and not symmetric.
Values core_of(const Adapter& adapter) {
  Values core;
  for (const TensorLayout& tensor : adapter.layout())
    for (int64_t i = 0; tensor.part == Part::lora_A && i < tensor.rows * tensor.rows; ++i)
      core.push_back((i % (tensor.rows + 1) == 0 ? 1.0f : 0.0f) + 0.1f * uniform_f32(Philox{3, 3}(core.size())[0]));
  return core;
}

Batch rows_of(const Description& description, uint32_t key, int32_t length) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(Philox{key, 1}(ids.size())[0] % description.vocabulary));
  return make_batch(description, ids, ids, {&length, 1});
}

Values copy_of(const Buffer<float>& values) { return {values.span().begin(), values.span().end()}; }
bool equal_bits(const Values& a, const Values& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::unique_ptr<Session> session_of(const std::shared_ptr<Engine>& engine, const std::shared_ptr<Adapter>& adapter, const Values& values,
                                    SessionOptions options = {.optimizer = Optimizer::sgd}) {
  return std::make_unique<Session>(engine, adapter, options, std::make_unique<Core>(*adapter, Core::A_of(*adapter), values));
}

/// A′ = R·A of every layer, in double.
std::vector<double> products(const AdapterMap& map, const Values& A, const Values& core) {
  std::vector<double> all;
  size_t in_A = 0, in_core = 0;
  for (const TensorLayout& tensor : map.layout()) {
    if (tensor.part != Part::lora_A) continue;
    const size_t rank = static_cast<size_t>(tensor.rows), K = static_cast<size_t>(tensor.columns);
    for (size_t i = 0; i < rank; ++i)
      for (size_t k = 0; k < K; ++k) {
        double sum = 0;
        for (size_t j = 0; j < rank; ++j)
          sum += static_cast<double>(core[in_core + i * rank + j]) * static_cast<double>(A[in_A + j * K + k]);
        all.push_back(sum);
      }
    in_A += rank * K, in_core += rank * rank;
  }
  return all;
}

/// dR = dA′·Aᵀ of every layer, in double, of the adapter's gradient; `transposed` gives A·dA′ᵀ, which is wrong.
std::vector<double> gradient_of_core(const AdapterMap& map, const Values& A, const Values& gradient, bool transposed = false) {
  std::vector<double> all;
  size_t in_A = 0;
  for (const TensorLayout& tensor : map.layout()) {
    if (tensor.part != Part::lora_A) continue;
    const size_t rank = static_cast<size_t>(tensor.rows), K = static_cast<size_t>(tensor.columns), at = static_cast<size_t>(tensor.offset);
    for (size_t i = 0; i < rank; ++i)
      for (size_t j = 0; j < rank; ++j) {
        const size_t row = transposed ? j : i, column = transposed ? i : j;
        double sum = 0;
        for (size_t k = 0; k < K; ++k)
          sum += static_cast<double>(gradient[at + row * K + k]) * static_cast<double>(A[in_A + column * K + k]);
        all.push_back(sum);
      }
    in_A += rank * K;
  }
  return all;
}

bool holds_product(const Adapter& adapter, const Values& A, const Values& core) {
  const std::vector<double> want = products(adapter, A, core);
  const Values got = Core::A_of(adapter);
  for (size_t i = 0; i < want.size(); ++i)
    if (!(std::fabs(static_cast<double>(got[i]) - want[i]) <= 0x1p-24 * std::fabs(want[i]) + 1e-15)) return false;  // rounded once
  return got.size() == want.size();
}
}  // namespace

CASE("the adapter holds R·A from the beginning, and R·A with the new R after a step; lora_B stays") {
  const auto engine = engine_of();
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d);
  const Values before = copy_of(adapter->values), A = Core::A_of(*adapter), core = core_of(*adapter);
  const auto session = session_of(engine, adapter, core);
  CHECK(holds_product(*adapter, A, core) && equal_bits(copy_of(session->core()->values), core));
  const uint64_t version = adapter->version;
  session->step(std::vector<Batch>{rows_of(d, 1, 12)}, 0.5);
  const Values moved = copy_of(session->core()->values);
  CHECK(!equal_bits(moved, core) && adapter->version > version);
  CHECK(holds_product(*adapter, A, moved));
  CHECK(!holds_product(*adapter, A, core));  // canary
  for (const TensorLayout& tensor : adapter->layout())
    for (int64_t i = tensor.range().begin; tensor.part == Part::lora_B && i < tensor.range().end; ++i)
      CHECK(adapter->values.span()[static_cast<size_t>(i)] == before[static_cast<size_t>(i)]);
  session->set_core(core);
  CHECK(holds_product(*adapter, A, core) && equal_bits(copy_of(session->core()->values), core));
}

CASE("the gradient is dA′·Aᵀ of the adapter's, and its norm is reported; steps leave nothing behind") {
  const auto engine = engine_of();
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d);
  const Values A = Core::A_of(*adapter), core = core_of(*adapter);
  const auto session = session_of(engine, adapter, core);
  for (uint32_t step = 1; step <= 2; ++step) {
    const std::vector<Batch> batches = {rows_of(d, step, 12)};
    const Values start = copy_of(session->core()->values);
    Values gradient(adapter->values.size());
    loss_and_gradient(*engine, *adapter, batches[0], gradient);
    const std::vector<double> want = gradient_of_core(*adapter, A, gradient), wrong = gradient_of_core(*adapter, A, gradient, true);
    const double norm = session->step(batches, 0.5).grad_norm;
    const Values moved = copy_of(session->core()->values);
    double squares = 0, worst = 0, astray = 0, most = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      const double got = (static_cast<double>(start[i]) - static_cast<double>(moved[i])) / 0.5;
      squares += want[i] * want[i], most = std::max(most, std::fabs(want[i]));
      worst = std::max(worst, std::fabs(got - want[i])), astray = std::max(astray, std::fabs(got - wrong[i]));
    }
    CHECK(most > 1e-3);
    CHECK_LE(worst, 0x1p-22);     // R is near 1: a difference of two roundings to 2⁻²⁴, over 0.5
    CHECK(!(astray <= 0x1p-22));  // canary: the transpose
    CHECK_LE(std::fabs(norm - std::sqrt(squares)), 1e-6 * std::sqrt(squares));
  }
}

CASE("the gradient by differences of the loss along a direction") {
  const auto engine = engine_of();
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d);
  const Values core = core_of(*adapter);
  const auto session = session_of(engine, adapter, core);
  const std::vector<Batch> batches = {rows_of(d, 4, 14)};
  const auto loss = [&](double along, const Values& direction) {
    Values moved = core;
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(along) * direction[i];
    session->set_core(moved);
    Values unused(adapter->values.size());
    return loss_and_gradient(*engine, *adapter, batches[0], unused).loss;
  };
  session->step(batches, 1.0);
  Values gradient = core;  // core − 1·gradient
  double squares = 0;
  for (size_t i = 0; i < core.size(); ++i) {
    gradient[i] = core[i] - session->core()->values.span()[i];
    squares += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
  }
  const double step = 1e-2 / std::sqrt(squares);  // 0.01 along the unit gradient: curvature and float32 losses both err below 1 %
  const double slope = (loss(step, gradient) - loss(-step, gradient)) / (2 * step);
  CHECK_LE(std::fabs(slope - squares), 0.01 * squares);
}

CASE("to the optimiser it is any vector: moments, terms, restoring") {
  const auto engine = engine_of();
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d), later = adapter_of(d);
  const Values core = core_of(*adapter), A = Core::A_of(*adapter);
  const std::vector<Batch> batches = {rows_of(d, 1, 12), rows_of(d, 2, 9)};
  const SessionOptions adam{.weight_decay = 0.1, .max_grad_norm = 0.5};
  const auto terms = [&] {
    GradientTerms pull;
    pull.mu = 0.3, pull.anchor = Buffer<float>(host_memory(), core.size()), pull.correction = Buffer<float>(host_memory(), core.size());
    std::fill(pull.correction.span().begin(), pull.correction.span().end(), 0.01f);
    return pull;
  };
  const auto session = session_of(engine, adapter, core, adam);
  CHECK(session->moment1().size() == core.size() && session->moment2().size() == core.size());
  session->set_terms(terms());
  session->step(batches, 1e-2);
  Session resumed(engine, later, adam, std::make_unique<Core>(*later, A, copy_of(session->core()->values)));
  resumed.set_terms(terms());
  resumed.restore(1, copy_of(session->moment1()), copy_of(session->moment2()));
  const auto plain = session_of(engine, adapter_of(d), copy_of(session->core()->values), adam);
  session->step(batches, 1e-2), resumed.step(batches, 1e-2), plain->step(batches, 1e-2);
  CHECK(equal_bits(copy_of(session->core()->values), copy_of(resumed.core()->values)));
  CHECK(equal_bits(copy_of(adapter->values), copy_of(later->values)));
  CHECK(!equal_bits(copy_of(session->core()->values), copy_of(plain->core()->values)));
  GradientTerms long_ones;
  long_ones.correction = Buffer<float>(host_memory(), adapter->values.size());
  CHECK_THROWS(session->set_terms(std::move(long_ones)), E_SHAPE);
}

CASE("beside a session of the factors in a common step, each gets its own bits") {
  const auto engine = engine_of();
  const Description& d = engine->transformer->description();
  const std::vector<Batch> mine = {rows_of(d, 1, 12), rows_of(d, 2, 9)}, yours = {rows_of(d, 3, 17)};
  const auto trained = [&](bool together) {
    const auto a = adapter_of(d), b = adapter_of(d);
    const auto core = session_of(engine, a, core_of(*a));
    Session factors(engine, b, {});
    for (int i = 0; i < 2; ++i) {
      if (together) {
        const SessionStep steps[] = {{core.get(), mine, 0.1}, {&factors, yours, 1e-2}};
        for (const SessionOutcome& outcome : step_together(steps)) CHECK(!outcome.error);
      } else {
        core->step(mine, 0.1), factors.step(yours, 1e-2);
      }
    }
    return std::pair(copy_of(a->values), copy_of(b->values));
  };
  const auto alone = trained(false), common = trained(true);
  CHECK(equal_bits(alone.first, common.first) && equal_bits(alone.second, common.second));
}

CASE("what is refused") {
  const auto engine = engine_of();
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d);
  const Values A = Core::A_of(*adapter), core = core_of(*adapter);
  const auto but = [](Values values, float bad) {
    values.back() = bad;
    return values;
  };
  const auto first = [](Values values, float bad) {
    values.front() = bad;
    return values;
  };
  CHECK_THROWS(Core(*adapter, std::span(A).first(A.size() - 1), core), E_SHAPE);
  CHECK_THROWS(Core(*adapter, A, std::span(core).first(core.size() - 1)), E_SHAPE);
  CHECK_THROWS(Core(*adapter, but(A, NAN), core), E_NONFINITE);
  CHECK_THROWS(Core(*adapter, A, but(core, INFINITY)), E_NONFINITE);
  CHECK_THROWS(Core(*adapter, first(A, NAN), core), E_NONFINITE);
  CHECK_THROWS(Core(*adapter, A, first(core, INFINITY)), E_NONFINITE);
  SessionOptions ranges;
  ranges.trainable = {{0, 1}};
  CHECK_THROWS(session_of(engine, adapter, core, ranges), E_ARGUMENT);
  Session without(engine, adapter_of(d), {});
  CHECK_THROWS(without.set_core(core), E_ARGUMENT);
  const auto session = session_of(engine, adapter, core);
  CHECK_THROWS(session->set_core(std::span(core).first(1)), E_SHAPE);
  CHECK_THROWS(session->set_core(but(core, NAN)), E_NONFINITE);
  CHECK(equal_bits(copy_of(session->core()->values), core));
}

TEST_MAIN()
