// One session's step by its equations, its options and its state; how passes are shared.
#include <cmath>
#include <functional>

#include "engine/load.h"
#include "golden_model.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {
std::shared_ptr<Engine> small_engine() {
  LoadOptions options;
  options.description = golden_description("llama");
  options.compute = Compute::f32;
  options.threads = 1;
  return random_engine(options, 5);
}

/// An adapter of rank 2 on every q_proj; both of its factors hold small numbers.
std::shared_ptr<Adapter> small_adapter(const Description& description) {
  std::vector<AdapterLayer> layers;
  for (const BlockSpec& layer : description.layers) layers.push_back({layer.linear(linear_q).module, 2, 1.0f, 0.0f});
  auto adapter = std::make_shared<Adapter>(AdapterMap(description, layers));
  for (size_t i = 0; i < adapter->values.size(); ++i) adapter->values.span()[i] = 0.01f * static_cast<float>(i % 7) - 0.03f;
  return adapter;
}

/// One row; supervised from its second token on, or nowhere.
Batch row(const Description& description, std::vector<int32_t> ids, bool supervised = true) {
  const std::vector<int32_t> labels = supervised ? ids : std::vector<int32_t>(ids.size(), not_supervised);
  const std::vector<int32_t> lengths = {static_cast<int32_t>(ids.size())};
  return make_batch(description, ids, labels, lengths);
}

std::vector<float> copy_of(const Buffer<float>& values) { return {values.span().begin(), values.span().end()}; }

std::string refused(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return std::string(code_name(error.code())) + ": " + error.what();
  }
  return "";
}
}  // namespace

CASE("options: each at its bounds") {
  const auto engine = small_engine();
  const auto adapter = small_adapter(engine->transformer->description());
  const auto accepts = [&](SessionOptions options) { return refused([&] { Session(engine, adapter, options); }).empty(); };
  for (double beta : {0.0, 0.5, 0.999999}) CHECK(accepts({.beta1 = beta}) && accepts({.beta2 = beta}));
  for (double beta : {-1e-9, 1.0, 2.0, static_cast<double>(NAN)}) CHECK(!accepts({.beta1 = beta}) && !accepts({.beta2 = beta}));
  CHECK(accepts({.epsilon = 1e-30}) && !accepts({.epsilon = 0}) && !accepts({.epsilon = NAN}));
}

CASE("moments: those that the optimiser needs, and no others") {
  const auto engine = small_engine();
  const auto adapter = small_adapter(engine->transformer->description());
  const size_t size = adapter->values.size();
  const auto sizes = [&](SessionOptions options) {
    const Session session(engine, adapter, options);
    return std::pair(session.moment1().size(), session.moment2().size());
  };
  CHECK(sizes({}) == std::pair(size, size));
  CHECK(sizes({.optimizer = Optimizer::sgd}) == std::pair(size_t{0}, size_t{0}));
  CHECK(sizes({.optimizer = Optimizer::sgd, .momentum = 0.9}) == std::pair(size, size_t{0}));
}

CASE("a restored session goes on bit for bit, with both optimisers; what belongs to another is refused") {
  const auto engine = small_engine();
  const Description& d = engine->transformer->description();
  const std::vector<Batch> batches = {row(d, {1, 2, 3, 4}), row(d, {9, 8, 7})};
  for (const SessionOptions& options :
       {SessionOptions{.weight_decay = 0.01}, SessionOptions{.optimizer = Optimizer::sgd, .momentum = 0.9}}) {
    const auto adapter = small_adapter(d), later = small_adapter(d);
    Session session(engine, adapter, options), resumed(engine, later, options);
    for (int i = 0; i < 2; ++i) session.step(batches, 1e-2);
    std::copy(adapter->values.span().begin(), adapter->values.span().end(), later->values.span().begin());
    resumed.restore(session.steps(), copy_of(session.moment1()), copy_of(session.moment2()));
    CHECK(resumed.steps() == 2);
    session.step(batches, 1e-2), resumed.step(batches, 1e-2);
    CHECK(copy_of(adapter->values) == copy_of(later->values) && copy_of(session.moment1()) == copy_of(resumed.moment1()));
    CHECK(copy_of(session.moment2()) == copy_of(resumed.moment2()) && resumed.steps() == 3);
  }
  Session session(engine, small_adapter(d), {});
  const std::vector<float> right(session.moment1().size()), wrong(right.size() - 1);
  CHECK_THROWS(session.restore(1, wrong, right), E_SHAPE);
  CHECK_THROWS(session.restore(1, right, wrong), E_SHAPE);
  CHECK_THROWS(session.restore(-1, right, right), E_ARGUMENT);
  session.restore(0, right, right);
}

CASE("a step of plain descent: loss, norm, clipping and update from the gradient") {
  const auto engine = small_engine();
  const Description& d = engine->transformer->description();
  const std::vector<Batch> batches = {row(d, {1, 2, 3, 4, 5})};
  const auto adapter = small_adapter(d);
  std::vector<float> gradient(adapter->values.size());
  const MeanLoss mean = loss_and_gradient(*engine, *adapter, batches[0], gradient);
  CHECK(mean.supervised == 4 && mean.tokens == 5);
  double squares = 0;
  for (float g : gradient) squares += static_cast<double>(g) * g;
  const double norm = std::sqrt(squares);
  for (double most : {0.0, norm / 2, norm * 2}) {
    const auto moved = small_adapter(d);
    Session session(engine, moved, {.optimizer = Optimizer::sgd, .max_grad_norm = most});
    const uint64_t version = moved->version;
    const StepResult result = session.step(batches, 0.5);
    CHECK_LE(std::fabs(result.loss - mean.loss), 1e-12);        // one batch: the same sum, divided once
    CHECK_LE(std::fabs(result.grad_norm - norm), 1e-6 * norm);  // a float32 gradient, summed in another order
    CHECK(result.tokens == 5 && result.supervised == 4 && !result.cancelled && session.steps() == 1 && moved->version != version);
    const double clip = most > 0 ? std::min(1.0, most / (norm + 1e-6)) : 1.0;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double want = adapter->values.span()[i] - 0.5 * clip * gradient[i];
      CHECK_LE(std::fabs(moved->values.span()[i] - want), 0x1p-23 * (std::fabs(want) + std::fabs(gradient[i])));  // three roundings
    }
  }
}

CASE("no token supervised: nothing moves, and a gradient alone is refused") {
  const auto engine = small_engine();
  const Description& d = engine->transformer->description();
  const auto adapter = small_adapter(d);
  const std::vector<float> before = copy_of(adapter->values);
  const std::vector<Batch> bare = {row(d, {1, 2, 3}, false)};
  Session session(engine, adapter, {});
  const StepResult result = session.step(bare, 1e-2);
  CHECK(result.loss == 0 && result.supervised == 0 && result.tokens == 3 && session.steps() == 0 && copy_of(adapter->values) == before);
  std::vector<float> gradient(before.size());
  CHECK_THROWS(loss_and_gradient(*engine, *adapter, bare[0], gradient), E_ARGUMENT);
}

CASE("what is not finite is refused with its step and micro-batch, and nothing moves") {
  const auto engine = small_engine();
  const Description& d = engine->transformer->description();
  const auto adapter = small_adapter(d);
  Session session(engine, adapter, {.optimizer = Optimizer::sgd});
  const std::vector<Batch> batches = {row(d, {1, 2, 3}, false), row(d, {1, 2, 3, 4})};
  session.step(batches, 1e-3);
  adapter->values.span()[0] = INFINITY;
  const std::vector<float> before = copy_of(adapter->values);
  CHECK(refused([&] { session.step(batches, 1e-3); }).find("E_NONFINITE: the loss of step 2, micro-batch 1 ") == 0);
  CHECK(copy_of(adapter->values) == before && session.steps() == 1);
  std::vector<float> gradient(before.size());
  CHECK_THROWS(loss_and_gradient(*engine, *adapter, batches[1], gradient), E_NONFINITE);
}

CASE("passes: what fits is taken together, to the last token; who computes again otherwise goes apart") {
  const auto engine = small_engine();
  const Description& d = engine->transformer->description();
  int passes = 0;
  engine->between_passes = [&] { ++passes; };
  const std::vector<Batch> three = {row(d, {1, 2, 3})}, four = {row(d, {4, 5, 6, 7})};
  const auto taken = [&](int64_t most_tokens, Recompute second) {
    passes = 0;
    Session a(engine, small_adapter(d), {}), b(engine, small_adapter(d), {.recompute = second});
    const SessionStep steps[] = {{&a, three, 1e-3}, {&b, four, 1e-3}};
    step_together(steps, most_tokens);
    return passes;
  };
  CHECK(taken(7, Recompute::none) == 1 && taken(6, Recompute::none) == 2 && taken(1, Recompute::none) == 2);
  CHECK(taken(7, Recompute::all) == 2);
}

CASE("canary: another rate, row or moment is another adapter") {
  const auto engine = small_engine();
  const Description& d = engine->transformer->description();
  const auto after = [&](double rate, int32_t last, float moment) {
    const auto adapter = small_adapter(d);
    Session session(engine, adapter, {});
    session.restore(1, std::vector<float>(adapter->values.size(), moment), std::vector<float>(adapter->values.size(), 1e-4f));
    const std::vector<Batch> batches = {row(d, {1, 2, 3, last})};
    session.step(batches, rate);
    return copy_of(adapter->values);
  };
  const std::vector<float> right = after(1e-3, 4, 0);
  CHECK(right == after(1e-3, 4, 0));
  CHECK(right != after(2e-3, 4, 0) && right != after(1e-3, 5, 0) && right != after(1e-3, 4, 1e-3f));
}

CASE("rows with weights: the mean of the weighted losses and its gradient; weights of 1 are none, of 0 are rows that teach nothing") {
  const auto engine = small_engine();
  const Description& d = engine->transformer->description();
  const std::vector<int32_t> ids = {1, 2, 3, 4, 9, 8, 7, 5, 6}, lengths = {4, 2, 3};
  const auto weighted = [&](std::vector<double> weights) { return make_batch(d, ids, ids, lengths, weights); };
  const auto step = [&](std::vector<Batch> batches) {
    const auto adapter = small_adapter(d);
    Session session(engine, adapter, {.optimizer = Optimizer::sgd});
    const StepResult result = session.step(batches, 0.5);
    return std::tuple(result.loss, result.supervised, session.steps(), copy_of(adapter->values));
  };
  CHECK(step({weighted({})}) == step({weighted({1, 1, 1})}));
  CHECK(step({weighted({}), row(d, {5, 5, 5})}) == step({weighted({1, 1, 1}), row(d, {5, 5, 5})}));
  const auto [loss, supervised, steps, values] = step({weighted({2, 0, 0.25})});
  CHECK(supervised == 5 && steps == 1);
  // The gradient is linear in the rows' losses: 2·3 tokens and 0.25·2 tokens.
  std::vector<float> first(values.size()), last(values.size());
  const double loss_first = loss_and_gradient(*engine, *small_adapter(d), row(d, {1, 2, 3, 4}), first).loss;
  const double loss_last = loss_and_gradient(*engine, *small_adapter(d), row(d, {7, 5, 6}), last).loss;
  const double total = 2 * 3 + 0.25 * 2;
  CHECK_LE(std::fabs(loss - (6 * loss_first + 0.5 * loss_last) / total), 1e-12 * loss);
  const auto start = small_adapter(d);
  std::vector<float> gradient(values.size());
  const MeanLoss mean = loss_and_gradient(*engine, *start, weighted({2, 0, 0.25}), gradient);
  CHECK(mean.supervised == 5 && std::fabs(mean.loss - loss) <= 1e-12 * loss);
  double most = 0;
  for (float g : gradient) most = std::max(most, std::fabs(static_cast<double>(g)));
  const auto worst = [&](double a, double b) {
    double error = 0;
    for (size_t i = 0; i < values.size(); ++i)
      error = std::max(error, std::fabs(gradient[i] - (a * static_cast<double>(first[i]) + b * static_cast<double>(last[i])) / total));
    return error;
  };
  CHECK_LE(worst(6, 0.5), 1e-5 * most);  // float32 sums in another grouping
  CHECK(!(worst(6, 2) <= 1e-5 * most));  // canary: a weight that is not applied
  for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == start->values.span()[i] - 0.5f * gradient[i]);
  const auto nothing = step({weighted({0, 0, 0})});
  CHECK(std::get<1>(nothing) == 0 && std::get<2>(nothing) == 0 && std::get<3>(nothing) == copy_of(start->values));
  const Batch a = weighted({0.5, 2, 1}), b = row(d, {5, 5, 5});
  for (const std::vector<const Batch*>& parts : {std::vector<const Batch*>{&a, &b}, std::vector<const Batch*>{&b, &a}}) {
    const Batch both = concatenate(parts);
    CHECK(both.weights.size() == both.supervised.size() && std::fabs(both.weight() - (a.weight() + 2)) <= 1e-12);
    CHECK(both.weight(parts[0] == &a ? 0 : 2) == 0.5f && both.weight(parts[0] == &a ? both.weights.size() - 1 : 0) == 1.0f);
  }
  CHECK(concatenate(std::vector<const Batch*>{&b, &b}).weights.empty());
  for (std::vector<double> bad : {std::vector<double>{1, 1}, {1, 1, 1, 1}, {-1e-9, 1, 1}, {1, NAN, 1}, {1, 1, INFINITY}, {1, 1, 1e39}})
    CHECK_THROWS(weighted(bad), E_ARGUMENT);
}

TEST_MAIN()
