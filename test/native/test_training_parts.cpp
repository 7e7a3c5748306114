// What of an adapter a session trains, and what is added to its gradient: judged by whole sessions whose frozen values are put back, and by
// the equation itself.
#include <cmath>
#include <cstring>

#include "base/philox.h"
#include "engine/load.h"
#include "golden_model.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {
std::shared_ptr<Engine> engine_of(Compute compute, int threads) {
  LoadOptions options;
  options.description = golden_description("qwen3");
  options.quantization = Format::nf4;
  options.compute = compute;
  options.threads = threads;
  return random_engine(options, 5);
}

/// Ranks 3 and 4 in turn on every linear layer, two of seven with dropout; both factors hold small numbers.
std::shared_ptr<Adapter> adapter_of(const Description& description, float dropout = 0.25f) {
  std::vector<AdapterLayer> layers;
  for (const BlockSpec& layer : description.layers)
    for (int linear = 0; linear < linears_per_layer; ++linear)
      layers.push_back({layer.linear(linear).module, 3 + linear % 2, 1.5f, linear % 4 == 0 ? dropout : 0.0f});
  auto adapter = std::make_shared<Adapter>(AdapterMap(description, layers));
  for (size_t i = 0; i < adapter->values.size(); ++i) adapter->values.span()[i] = 0.2f * uniform_f32(Philox{9, 9}(i)[0]) - 0.1f;
  return adapter;
}

Batch rows_of(const Description& description, uint32_t key, std::vector<int32_t> lengths) {
  std::vector<int32_t> ids;
  for (int32_t length : lengths)
    for (int32_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(Philox{key, 1}(ids.size())[0] % description.vocabulary));
  return make_batch(description, ids, ids, lengths);
}
std::vector<Batch> micro_batches(const Description& description) {
  return {rows_of(description, 1, {9, 5}), rows_of(description, 2, {12})};
}

using Values = std::vector<float>;
Values copy_of(const Buffer<float>& values) { return {values.span().begin(), values.span().end()}; }
Buffer<float> buffer_of(const Values& values) { return {host_memory(), std::span<const float>(values)}; }
bool equal_bits(const Values& a, const Values& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

std::vector<Range> parts(const Adapter& adapter, Part part, size_t first = 0) {
  std::vector<Range> ranges;
  for (size_t i = first; i < adapter.layout().size(); ++i)
    if (adapter.layout()[i].part == part) ranges.push_back(adapter.layout()[i].range());
  return ranges;
}
std::vector<bool> chosen(size_t size, const std::vector<Range>& ranges) {
  std::vector<bool> inside(size);
  for (const Range& range : ranges)
    for (int64_t i = range.begin; i < range.end; ++i) inside[static_cast<size_t>(i)] = true;
  return inside;
}

/// Three steps of a whole session; after each, what lies outside the ranges is put back, in the moments too.
struct Trained {
  Values values, moment1, moment2;
};
Trained put_back(const std::shared_ptr<Engine>& engine, SessionOptions options, const std::vector<Range>& ranges) {
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d);
  const Values before = copy_of(adapter->values);
  const std::vector<bool> inside = chosen(before.size(), ranges);
  Session session(engine, adapter, options);
  Trained trained;
  for (int step = 0; step < 3; ++step) {
    session.step(micro_batches(d), 1e-2);
    for (size_t i = 0; i < before.size(); ++i)
      if (!inside[i]) adapter->values.span()[i] = before[i];
  }
  trained.values = copy_of(adapter->values);
  for (size_t i = 0; i < before.size(); ++i) {
    if (!inside[i]) continue;
    if (session.moment1().size() > 0) trained.moment1.push_back(session.moment1().span()[i]);
    if (session.moment2().size() > 0) trained.moment2.push_back(session.moment2().span()[i]);
  }
  return trained;
}
Trained ranged(const std::shared_ptr<Engine>& engine, SessionOptions options, const std::vector<Range>& ranges) {
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d);
  options.trainable = ranges;
  Session session(engine, adapter, options);
  for (int step = 0; step < 3; ++step) session.step(micro_batches(d), 1e-2);
  return {copy_of(adapter->values), copy_of(session.moment1()), copy_of(session.moment2())};
}
bool same(const Trained& a, const Trained& b) {
  return equal_bits(a.values, b.values) && equal_bits(a.moment1, b.moment1) && equal_bits(a.moment2, b.moment2);
}

const SessionOptions descent{.optimizer = Optimizer::sgd}, momentum{.optimizer = Optimizer::sgd, .weight_decay = 0.1, .momentum = 0.9},
    adam{.weight_decay = 0.1};
}  // namespace

CASE("ranges: each bound, and what is no range") {
  const auto engine = engine_of(Compute::f32, 1);
  const auto adapter = adapter_of(engine->transformer->description());
  const int64_t size = adapter->size();
  const auto accepts = [&](std::vector<Range> ranges) {
    SessionOptions options;
    options.trainable = std::move(ranges);
    try {
      Session(engine, adapter, options);
      return true;
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_ARGUMENT);
      return false;
    }
  };
  CHECK(accepts({}) && accepts({{0, size}}) && accepts({{0, 1}, {1, 2}, {size - 1, size}}));
  CHECK(!accepts({{-1, 1}}) && !accepts({{0, size + 1}}) && !accepts({{5, 5}}) && !accepts({{6, 5}}));
  CHECK(!accepts({{0, 5}, {4, 6}}) && !accepts({{5, 6}, {0, 1}}) && !accepts({{0, 5}, {5, 5}}));
}

CASE("a range is trained as if all else were put back after every step: values and moments, bit for bit") {
  for (Compute compute : {Compute::f32, Compute::bf16}) {
    const auto engine = engine_of(compute, 2);
    const auto adapter = adapter_of(engine->transformer->description());
    const std::vector<TensorLayout>& layout = adapter->layout();
    const size_t half = layout.size() / 2;  // the first of the upper layer's
    const std::vector<std::vector<Range>> choices = {
        parts(*adapter, Part::lora_A),
        parts(*adapter, Part::lora_B),
        parts(*adapter, Part::lora_B, half),
        {layout[half].range()},                           // one A of the upper layer
        {layout.back().range()},                          // the last B
        {{layout[1].offset + 3, layout[1].offset + 10}},  // within a B
        {{layout[2].offset + 5, layout[4].offset + 7}, {layout[half + 2].offset - 4, layout[half + 2].offset + 4}},
    };
    for (Recompute recompute : {Recompute::none, Recompute::all})
      for (SessionOptions options : {descent, momentum, adam})
        for (const std::vector<Range>& ranges : choices) {
          options.recompute = recompute;
          const Trained want = put_back(engine, options, ranges), got = ranged(engine, options, ranges);
          CHECK(same(got, want));
          CHECK(!equal_bits(got.values, copy_of(adapter->values)));
        }
  }
}

CASE("canary: neighbours of a range that move with it are found") {
  const auto engine = engine_of(Compute::f32, 2);
  const auto adapter = adapter_of(engine->transformer->description());
  const int64_t B = adapter->layout()[1].offset;
  CHECK(!same(ranged(engine, descent, {{B, B + 9}}), put_back(engine, descent, {{B, B + 8}})));
}

CASE("all ranges, one after another, are the whole adapter; the norm is that of what is trained") {
  const auto engine = engine_of(Compute::f32, 2);
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d);
  std::vector<Range> every;
  for (const TensorLayout& tensor : adapter->layout()) every.push_back(tensor.range());
  SessionOptions clipped = adam;
  clipped.max_grad_norm = 0.1;
  CHECK(same(ranged(engine, clipped, every), ranged(engine, clipped, {})));
  const auto norm = [&](std::vector<Range> ranges) {
    SessionOptions options = descent;
    options.trainable = std::move(ranges);
    return Session(engine, adapter_of(d), options).step(micro_batches(d), 0).grad_norm;
  };
  const double all = norm({}), A = norm(parts(*adapter, Part::lora_A)), B = norm(parts(*adapter, Part::lora_B));
  CHECK(A > 0 && B > 0 && A < all && B < all);
  CHECK(norm(every) == all);                                 // neighbours are joined: the same blocks are summed
  CHECK_LE(std::fabs(std::hypot(A, B) - all), 1e-12 * all);  // sums in double, grouped otherwise
}

CASE("a session of ranges that is restored goes on bit for bit; moments of another choice are refused") {
  const auto engine = engine_of(Compute::f32, 2);
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d), later = adapter_of(d);
  SessionOptions options = adam;
  options.trainable = parts(*adapter, Part::lora_B);
  const auto with_terms = [&](Session& session) { session.set_terms({0.5, buffer_of(Values(adapter->values.size(), 0.01f)), {}}); };
  Session session(engine, adapter, options), resumed(engine, later, options);
  with_terms(session), with_terms(resumed);
  session.step(micro_batches(d), 1e-2);
  later->write(copy_of(adapter->values));
  const Values moment1 = copy_of(session.moment1()), moment2 = copy_of(session.moment2());
  resumed.restore(1, moment1, moment2);
  session.step(micro_batches(d), 1e-2), resumed.step(micro_batches(d), 1e-2);
  CHECK(equal_bits(copy_of(adapter->values), copy_of(later->values)) && equal_bits(copy_of(session.moment2()), copy_of(resumed.moment2())));
  Session whole(engine, adapter_of(d), adam);
  CHECK_THROWS(whole.restore(1, moment1, moment2), E_SHAPE);
}

namespace {
/// w − rate·(g + mu·(w − anchor) + correction), each operation rounded once, as a step of plain descent over one micro-batch takes it.
Values by_hand(const std::shared_ptr<Engine>& engine, float rate, float mu, const Values& anchor, const Values& correction,
               const std::vector<bool>& inside, double* squares) {
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d, 0);
  Values g(adapter->values.size()), w = copy_of(adapter->values);
  loss_and_gradient(*engine, *adapter, rows_of(d, 3, {11}), g);
  *squares = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    if (!inside[i]) continue;
    if (mu > 0) g[i] = g[i] + mu * (w[i] - anchor[i]);
    if (!correction.empty()) g[i] = g[i] + correction[i];
    *squares += static_cast<double>(g[i]) * g[i];
    w[i] = w[i] - rate * g[i];
  }
  return w;
}
}  // namespace

CASE("terms: the equation, in the whole adapter and in a part of it, and its norm") {
  const auto engine = engine_of(Compute::f32, 2);
  const Description& d = engine->transformer->description();
  const size_t size = adapter_of(d)->values.size();
  Values anchor(size), correction(size);
  for (size_t i = 0; i < size; ++i)
    anchor[i] = 0.03f * static_cast<float>(i % 5), correction[i] = 0.01f * static_cast<float>(i % 3) - 0.01f;
  for (const std::vector<Range>& ranges : {std::vector<Range>{}, parts(*adapter_of(d), Part::lora_A)})
    for (double mu : {0.0, 0.25})
      for (bool corrected : {false, true}) {
        const auto adapter = adapter_of(d, 0);
        SessionOptions options = descent;
        options.trainable = ranges;
        Session session(engine, adapter, options);
        session.set_terms({mu, buffer_of(anchor), corrected ? buffer_of(correction) : Buffer<float>()});
        const std::vector<Batch> batches = {rows_of(d, 3, {11})};
        double squares = 0;
        const std::vector<bool> inside = ranges.empty() ? std::vector<bool>(size, true) : chosen(size, ranges);
        const Values want = by_hand(engine, 0.5f, static_cast<float>(mu), anchor, corrected ? correction : Values(), inside, &squares);
        const StepResult result = session.step(batches, 0.5);
        CHECK(equal_bits(copy_of(adapter->values), want));
        CHECK_LE(std::fabs(result.grad_norm - std::sqrt(squares)), 1e-12 * std::sqrt(squares));
      }
}

CASE("terms that say nothing, and terms taken back, change no bit; the loss is without them") {
  const auto engine = engine_of(Compute::bf16, 2);
  const Description& d = engine->transformer->description();
  const size_t size = adapter_of(d)->values.size();
  SessionOptions options = adam;
  options.max_grad_norm = 0.1;
  const auto trained = [&](auto&& before, auto&& between) {
    const auto adapter = adapter_of(d);
    Session session(engine, adapter, options);
    before(session);
    const double loss = session.step(micro_batches(d), 1e-2).loss;
    between(session);
    session.step(micro_batches(d), 1e-2);
    return std::pair(loss, copy_of(adapter->values));
  };
  const auto nothing = [](Session&) {};
  const auto pull = [&](Session& session) { session.set_terms({0.5, buffer_of(Values(size, 0.2f)), {}}); };
  const auto plain = trained(nothing, nothing);
  const auto empty = trained([](Session& session) { session.set_terms({}); }, nothing);
  const auto still = trained([&](Session& session) { session.set_terms({0, buffer_of(Values(size, 0.2f)), {}}); }, nothing);
  const auto pulled = trained(pull, nothing), late = trained(nothing, pull);
  const auto twice = trained(pull, [](Session& session) { session.set_terms({}); });
  CHECK(equal_bits(plain.second, empty.second) && equal_bits(plain.second, still.second));
  CHECK(plain.first == pulled.first);
  CHECK(!equal_bits(plain.second, pulled.second) && !equal_bits(plain.second, late.second) && !equal_bits(twice.second, pulled.second) &&
        !equal_bits(twice.second, plain.second));
}

CASE("terms: what is refused, and a pull beyond all numbers, which leaves no trace") {
  const auto engine = engine_of(Compute::f32, 1);
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d), other = adapter_of(d);
  Session session(engine, adapter, adam), untouched(engine, other, adam);
  const Values right(adapter->values.size()), wrong(right.size() - 1);
  for (double mu : {-1e-9, 1e39, static_cast<double>(INFINITY), static_cast<double>(NAN)})
    CHECK_THROWS(session.set_terms({mu, buffer_of(right), {}}), E_ARGUMENT);
  CHECK_THROWS(session.set_terms({1, {}, buffer_of(right)}), E_ARGUMENT);
  CHECK_THROWS(session.set_terms({1, buffer_of(wrong), {}}), E_SHAPE);
  CHECK_THROWS(session.set_terms({0, {}, buffer_of(wrong)}), E_SHAPE);
  for (size_t place : {size_t{0}, right.size() - 1}) {
    Values broken = right;
    broken[place] = place == 0 ? NAN : INFINITY;
    CHECK_THROWS(session.set_terms({1, buffer_of(broken), {}}), E_NONFINITE);
    CHECK_THROWS(session.set_terms({0, {}, buffer_of(broken)}), E_NONFINITE);
  }
  session.set_terms({1e38, buffer_of(Values(right.size(), 1e5f)), {}});
  CHECK_THROWS(session.step(micro_batches(d), 1e-2), E_NONFINITE);
  CHECK(equal_bits(copy_of(adapter->values), copy_of(other->values)) && session.steps() == 0);
  session.set_terms({});
  session.step(micro_batches(d), 1e-2), untouched.step(micro_batches(d), 1e-2);
  CHECK(equal_bits(copy_of(adapter->values), copy_of(other->values)));
}

CASE("canary: a pull counted twice is found") {
  const auto engine = engine_of(Compute::f32, 1);
  const Description& d = engine->transformer->description();
  const auto adapter = adapter_of(d, 0);
  const Values anchor(adapter->values.size(), 0.05f);
  Session session(engine, adapter, descent);
  session.set_terms({0.5, buffer_of(anchor), {}});
  session.step(std::vector<Batch>{rows_of(d, 3, {11})}, 0.5);
  double squares = 0;
  CHECK(!equal_bits(copy_of(adapter->values), by_hand(engine, 0.5f, 1.0f, anchor, {}, std::vector<bool>(anchor.size(), true), &squares)));
}

TEST_MAIN()
