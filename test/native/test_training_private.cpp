// A private step beside the book: gradients of rows taken one at a time, clipped by hand in double; what noise, empty draws, groups,
// neighbours in a pass, failures and restoring do to it.
#include <bit>
#include <cmath>
#include <cstring>

#include "base/philox.h"
#include "engine/load.h"
#include "golden_model.h"
#include "harness.h"
#include "training/session.h"
#include "vectors/noise.h"

using namespace fedlora;

namespace {
using Values = std::vector<float>;

struct Setting {
  Format quantization = Format::bf16;
  Compute compute = Compute::f32;
  Recompute recompute = Recompute::none;
  float dropout = 0;
  bool only_B = false;  // FFA: lora_A frozen
};

std::shared_ptr<Engine> engine_of(const Setting& setting) {
  LoadOptions options;
  options.description = golden_description("llama");
  options.quantization = setting.quantization;
  options.compute = setting.compute;
  options.threads = 2;
  return random_engine(options, 5);
}

std::shared_ptr<Adapter> adapter_of(const Description& description, float dropout = 0, float scaling = 1.5f) {
  std::vector<AdapterLayer> layers;
  for (const BlockSpec& layer : description.layers)
    for (int linear = 0; linear < linears_per_layer; ++linear)
      layers.push_back({layer.linear(linear).module, 3 + linear % 2, scaling, dropout});
  auto adapter = std::make_shared<Adapter>(AdapterMap(description, layers));
  for (size_t i = 0; i < adapter->values.size(); ++i) adapter->values.span()[i] = 0.2f * uniform_f32(Philox{9, 9}(i)[0]) - 0.1f;
  return adapter;
}

SessionOptions options_of(const Setting& setting, const Adapter& adapter) {
  SessionOptions options{.optimizer = Optimizer::sgd, .dropout_seed = 11, .recompute = setting.recompute};
  for (const TensorLayout& tensor : adapter.layout())
    if (setting.only_B && tensor.part == Part::lora_B) options.trainable.push_back(tensor.range());
  return options;
}

/// A row of `length` tokens whose first `bare` are not supervised.
struct Row {
  int32_t length;
  int32_t bare = 1;
  double weight = 1;
};

const std::vector<Row> some_rows = {{9}, {17, 4}, {1}, {12, 12}, {5}, {26, 1, 2.5}, {3}};

/// Rows [begin, end) of a list as one micro-batch; a row's tokens depend on its place in the list alone.
Batch batch_of(const Description& description, const std::vector<Row>& rows, size_t begin, size_t end) {
  std::vector<int32_t> ids, labels, lengths;
  std::vector<double> weights;
  for (size_t r = begin; r < end; ++r) {
    for (int32_t i = 0; i < rows[r].length; ++i) {
      ids.push_back(static_cast<int32_t>(Philox{r, 5}(static_cast<uint64_t>(i))[0] % static_cast<uint32_t>(description.vocabulary)));
      labels.push_back(i < rows[r].bare ? not_supervised : ids.back());
    }
    lengths.push_back(rows[r].length);
    weights.push_back(rows[r].weight);
  }
  return make_batch(description, ids, labels, lengths, weights);
}

/// Micro-batches of so many rows each.
std::vector<Batch> grouped(const Description& description, const std::vector<Row>& rows, const std::vector<size_t>& sizes) {
  std::vector<Batch> batches;
  size_t at = 0;
  for (size_t size : sizes) batches.push_back(batch_of(description, rows, at, at + size)), at += size;
  CHECK(at == rows.size());
  return batches;
}

Values copy_of(const Buffer<float>& values) { return {values.span().begin(), values.span().end()}; }

PrivateStep privacy_of(double clip, double noise, double expected = 4, uint32_t key = 1) { return {clip, noise, expected, {key, 2, 3}}; }

/// The gradient that a step of plain descent took, as near as a float32 adapter shows it at a large rate, which is a power of two.
constexpr double rate = 1024;
std::vector<double> taken(const Values& before, const Values& after) {
  std::vector<double> gradient;
  for (size_t i = 0; i < before.size(); ++i) gradient.push_back((static_cast<double>(before[i]) - static_cast<double>(after[i])) / rate);
  return gradient;
}

double norm_of(std::span<const double> x) {
  double squares = 0;
  for (double value : x) squares += value * value;
  return std::sqrt(squares);
}
double largest(std::span<const double> x) {
  double most = 0;
  for (double value : x) most = std::max(most, std::fabs(value));
  return most;
}
double distance(std::span<const double> a, std::span<const double> b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::fabs(a[i] - b[i]);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

/// Row `number` of the first step alone, over what is trained; elsewhere 0.
std::vector<double> gradient_alone(Engine& engine, const Adapter& adapter, const SessionOptions& options, const std::vector<Row>& rows,
                                   size_t number) {
  const Batch batch = batch_of(engine.description(), rows, number, number + 1);
  Values gradient(adapter.values.size());
  const double tokens = static_cast<double>(batch.supervised.size());
  const AdapterSegment segment{0,    batch.tokens(),       &adapter, gradient.data(),  static_cast<float>(1 / tokens),
                               true, options.dropout_seed, number,   options.trainable};
  if (tokens > 0) engine.transformer->accumulate(batch, {&segment, 1}, options.recompute);
  return {gradient.begin(), gradient.end()};
}

/// Σ_i g_i·min(1, C/‖g_i‖) / L in double, and how many were longer than C. `each`: clips elements instead, which is wrong.
std::pair<std::vector<double>, int64_t> book(Engine& engine, const Adapter& adapter, const SessionOptions& options,
                                             const std::vector<Row>& rows, double clip, double expected, bool each = false) {
  std::vector<double> sum(adapter.values.size(), 0.0);
  int64_t clipped = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::vector<double> g = gradient_alone(engine, adapter, options, rows, r);
    const double norm = norm_of(g), scale = std::min(1.0, clip / norm);
    clipped += norm > clip;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += (each ? std::clamp(g[i], -clip, clip) : norm > 0 ? scale * g[i] : 0) / expected;
  }
  return {sum, clipped};
}

struct Outcome {
  StepResult result;
  Values values;
  std::vector<double> gradient;
};

Outcome step(const std::shared_ptr<Engine>& engine, const Setting& setting, const std::vector<Batch>& batches, const PrivateStep& privacy) {
  const auto adapter = adapter_of(engine->description(), setting.dropout);
  Session session(engine, adapter, options_of(setting, *adapter));
  const Values before = copy_of(adapter->values);
  const StepResult result = session.step(batches, rate, privacy);
  const Values after = copy_of(adapter->values);
  return {result, after, taken(before, after)};
}
}  // namespace

CASE("without noise it is the sum of the rows' gradients, each alone, clipped and divided by L: formats, recomputation, dropout, ranges") {
  for (const Setting& setting :
       {Setting{}, Setting{.only_B = true}, Setting{.dropout = 0.3f}, Setting{Format::nf4, Compute::f32, Recompute::all},
        Setting{Format::nf4, Compute::bf16, Recompute::gate_up, 0.2f}, Setting{Format::int8, Compute::bf16, Recompute::all, 0, true}}) {
    const auto engine = engine_of(setting);
    const auto adapter = adapter_of(engine->description(), setting.dropout);
    const SessionOptions options = options_of(setting, *adapter);
    const std::vector<Batch> batches = {batch_of(engine->description(), some_rows, 0, some_rows.size())};
    double median = 0;  // some rows are longer, some are not
    for (size_t r : {size_t{0}, size_t{4}}) median += norm_of(gradient_alone(*engine, *adapter, options, some_rows, r)) / 2;
    for (double clip : {median, 1e-3 * median, 1e3 * median}) {
      const auto [want, clipped] = book(*engine, *adapter, options, some_rows, clip, 4);
      const Outcome got = step(engine, setting, batches, privacy_of(clip, 0));
      // The adapter's float32 at rate 1024, and a float32 sum of seven.
      const double tolerance = 8 * 0x1p-24 * largest(want) + 0x1p-24 * 0.1 / rate;
      CHECK_LE(distance(got.gradient, want), tolerance);
      CHECK(got.result.clipped == clipped && got.result.examples == 7);
      CHECK_LE(std::fabs(got.result.grad_norm - norm_of(want)), 1e-6 * norm_of(want));
      CHECK(!(distance(got.gradient, book(*engine, *adapter, options, some_rows, clip, 7).first) <= tolerance));  // canary
      CHECK(!(distance(got.gradient, book(*engine, *adapter, options, some_rows, 1.001 * clip, 4).first) <= tolerance) ||
            clip > median);  // canary
      if (clip < median) CHECK(!(distance(got.gradient, book(*engine, *adapter, options, some_rows, clip, 4, true).first) <= tolerance));
    }
  }
}

CASE("no clip, no noise: the plain step over rows that weigh alike, to rounding; and its loss") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  const std::vector<Row> rows = {{9}, {17, 4}, {5}, {26}};
  std::vector<Row> alike = rows;  // a plain step weighs tokens
  for (Row& row : alike) row.weight = 1.0 / (row.length - row.bare);
  const Outcome got = step(engine, {}, {batch_of(d, rows, 0, 4)}, privacy_of(INFINITY, 0));
  const auto adapter = adapter_of(d);
  const Values before = copy_of(adapter->values);
  Session plain(engine, adapter, options_of({}, *adapter));
  plain.step(std::vector<Batch>{batch_of(d, alike, 0, 4)}, rate);
  const std::vector<double> want = taken(before, copy_of(adapter->values));
  CHECK_LE(distance(got.gradient, want), 1e-5 * largest(want));  // float32 sums in another grouping
  CHECK(got.result.clipped == 0);
  Values gradient(before.size());
  const auto start = adapter_of(d);
  const MeanLoss mean = loss_and_gradient(*engine, *start, batch_of(d, rows, 0, 4), gradient);
  CHECK_LE(std::fabs(got.result.loss - mean.loss), 1e-12 * mean.loss);
}

CASE("a row counts at most the clip, however large its gradient; a row that teaches nothing counts nothing") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  const double clip = 1e-3, expected = 2;
  const auto sum = [&](const std::vector<Row>& rows) {
    return step(engine, {}, {batch_of(d, rows, 0, rows.size())}, privacy_of(clip, 0, expected)).gradient;
  };
  const std::vector<double> without = sum({{9}});
  for (double weight : {1.0, 1e4, 1e12}) {
    const std::vector<double> with = sum({{9}, {12, 1, weight}});
    std::vector<double> own;
    for (size_t i = 0; i < with.size(); ++i) own.push_back((with[i] - without[i]) * expected);
    CHECK_LE(std::fabs(norm_of(own) / clip - 1), 1e-3);  // what is left of the small gradient in a float32 adapter
  }
  CHECK(sum({{9}, {12, 12}}) == without);
}

CASE("what is added is never longer than the clip, to the last bit") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  for (size_t r = 0; r < 6; ++r)
    for (double clip : {0.7e-2, 0.9e-3, 1.1e-5}) {
      const auto adapter = adapter_of(d);
      adapter->values.zero();  // so that the update is the adapter
      for (const TensorLayout& tensor : adapter->layout())
        if (tensor.part == Part::lora_A)
          for (int64_t i = tensor.range().begin; i < tensor.range().end; ++i) adapter->values.span()[static_cast<size_t>(i)] = 0.3f;
      SessionOptions options = options_of({.only_B = true}, *adapter);
      Session session(engine, adapter, options);
      const std::vector<Row> rows(r + 1, Row{7, 1, 1e3});
      const StepResult result = session.step(std::vector<Batch>{batch_of(d, rows, r, r + 1)}, rate, privacy_of(clip, 0, 1));
      double squares = 0;
      for (const Range& range : options.trainable)
        for (int64_t i = range.begin; i < range.end; ++i) squares += std::pow(adapter->values.span()[static_cast<size_t>(i)] / rate, 2);
      CHECK(result.clipped == 1 && std::sqrt(squares) <= clip);
      CHECK_LE(1 - 1e-6, std::sqrt(squares) / clip);
    }
}

CASE("the noise is σ·C/L of the key's normals, over what is trained alone; a draw of nobody adds it as well") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  for (bool only_B : {false, true}) {
    const auto adapter = adapter_of(d);
    const SessionOptions options = options_of({.only_B = only_B}, *adapter);
    const std::vector<Range> trained = only_B ? options.trainable : std::vector<Range>{{0, adapter->size()}};
    const PrivateStep privacy = privacy_of(0.5, 1.5, 3);
    const Outcome empty = step(engine, {.only_B = only_B}, {}, privacy);
    const Outcome bare = step(engine, {.only_B = only_B}, {batch_of(d, {{4, 4}}, 0, 1)}, privacy);
    CHECK(empty.values == bare.values && empty.result.examples == 0 && bare.result.examples == 1 && empty.result.loss == 0);
    int64_t first = 0;
    double squares = 0, worst = 0;
    for (const Range& range : trained) {
      Values noise(static_cast<size_t>(range.size()));
      add_noise(noise, {privacy.key, 0.75, 3}, first);
      for (size_t i = 0; i < noise.size(); ++i) {
        const double got = empty.gradient[static_cast<size_t>(range.begin) + i];
        worst = std::max(worst, std::fabs(got - static_cast<double>(noise[i])));
        squares += got * got;
      }
      first += range.size();
    }
    CHECK_LE(worst, 1e-7);  // the adapter's float32 at rate 1024
    const double deviation = std::sqrt(squares / static_cast<double>(first)) / (0.5 * 1.5 / 3);
    CHECK_LE(std::fabs(deviation - 1), 5 / std::sqrt(2.0 * static_cast<double>(first)));  // five standard errors
    for (size_t i = 0; i < empty.gradient.size(); ++i) {
      bool inside = false;
      for (const Range& range : trained) inside = inside || (static_cast<int64_t>(i) >= range.begin && static_cast<int64_t>(i) < range.end);
      CHECK(inside || empty.gradient[i] == 0);
    }
    // With rows the noise is the same, added to their sum.
    const std::vector<Batch> batches = {batch_of(d, some_rows, 0, some_rows.size())};
    const Outcome still = step(engine, {.only_B = only_B}, batches, privacy_of(0.5, 0, 3)),
                  noisy = step(engine, {.only_B = only_B}, batches, privacy);
    std::vector<double> both;
    for (size_t i = 0; i < still.gradient.size(); ++i) both.push_back(still.gradient[i] + empty.gradient[i]);
    CHECK_LE(distance(noisy.gradient, both), 1e-6 * largest(both));
    CHECK(step(engine, {.only_B = only_B}, batches, privacy_of(0.5, 1.5, 3, 2)).values != noisy.values);  // canary: another key
  }
}

CASE("how rows are grouped changes no bit: dropout, clipping, noise, rows that teach nothing") {
  const Setting setting{Format::nf4, Compute::bf16, Recompute::gate_up, 0.25f};
  const auto engine = engine_of(setting);
  const Description& d = engine->description();
  const PrivateStep privacy = privacy_of(1e-2, 0.7);
  const Outcome whole = step(engine, setting, grouped(d, some_rows, {7}), privacy);
  for (const std::vector<size_t>& sizes : std::vector<std::vector<size_t>>{{1, 1, 1, 1, 1, 1, 1}, {3, 4}, {2, 1, 1, 3}}) {
    const Outcome got = step(engine, setting, grouped(d, some_rows, sizes), privacy);
    CHECK(got.values == whole.values && got.result.clipped == whole.result.clipped && got.result.examples == 7);
    CHECK_LE(std::fabs(got.result.loss - whole.result.loss), 1e-12 * whole.result.loss);
  }
  std::vector<Row> swapped = some_rows;
  std::swap(swapped[0], swapped[1]);
  CHECK(step(engine, setting, grouped(d, swapped, {7}), privacy).values != whole.values);  // canary
}

CASE("beside others in a pass, private or not, each gets the bits that it gets alone; one that diverges is told so") {
  const Setting setting{Format::nf4, Compute::bf16, Recompute::none, 0.25f};
  const auto engine = engine_of(setting);
  const Description& d = engine->description();
  const std::vector<Batch> batches = grouped(d, some_rows, {3, 4}), other = grouped(d, {{8}, {11}}, {1, 1});
  const PrivateStep privacy = privacy_of(1e-2, 0.7);
  struct Client {
    std::vector<Batch> batches;
    std::optional<PrivateStep> privacy;
    bool broken = false;
  };
  const std::vector<Client> clients = {{batches, privacy}, {other, {}}, {other, privacy_of(1, 0)}, {{}, privacy}, {batches, privacy, true}};
  const auto run = [&](std::span<const Client> who, int64_t most_tokens) {
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<SessionStep> steps;
    for (const Client& client : who) {
      const auto adapter = adapter_of(d, setting.dropout);
      if (client.broken) adapter->values.span()[3] = INFINITY;
      sessions.push_back(std::make_unique<Session>(engine, adapter, options_of(setting, *adapter)));
      steps.push_back({sessions.back().get(), client.batches, 1e-2, client.privacy});
    }
    const std::vector<SessionOutcome> outcomes = step_together(steps, most_tokens);
    std::vector<Values> values;
    for (size_t i = 0; i < who.size(); ++i) {
      CHECK(outcomes[i].error.has_value() == who[i].broken);
      values.push_back(copy_of(sessions[i]->adapter().values));
      values.back().push_back(static_cast<float>(outcomes[i].result.clipped));
      values.back().push_back(static_cast<float>(outcomes[i].result.grad_norm));
      values.back().push_back(static_cast<float>(sessions[i]->steps()));
    }
    return values;
  };
  for (int64_t most_tokens : {int64_t{1} << 20, int64_t{40}}) {
    const std::vector<Values> together = run(clients, most_tokens);
    for (size_t c = 0; c < clients.size(); ++c) {
      const Values alone = run({&clients[c], 1}, most_tokens).front();
      CHECK(std::memcmp(alone.data(), together[c].data(), alone.size() * sizeof(float)) == 0);
    }
  }
}

CASE("a restored session goes on bit for bit; a step that failed or was cancelled leaves nothing behind") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  const std::vector<Batch> batches = grouped(d, some_rows, {7});
  const auto key = [](uint32_t number) { return privacy_of(1e-2, 0.7, 4, number); };
  const auto first = adapter_of(d, 0.2f), second = adapter_of(d, 0.2f);
  Session session(engine, first, {.dropout_seed = 4}), resumed(engine, second, {.dropout_seed = 4});
  for (uint32_t i = 0; i < 2; ++i) session.step(batches, 1e-3, key(i));
  second->write(first->values.span());
  resumed.restore(session.steps(), session.moment1().span(), session.moment2().span());

  const std::atomic<bool> cancel = true;
  engine->transformer->set_cancel_flag(&cancel);
  CHECK(resumed.step(batches, 1e-3, key(2)).cancelled);
  engine->transformer->set_cancel_flag(nullptr);
  const float kept = second->values.span()[5];
  second->values.span()[5] = INFINITY;
  CHECK_THROWS(resumed.step(batches, 1e-3, key(2)), E_NONFINITE);
  second->values.span()[5] = kept;

  session.step(batches, 1e-3, key(2)), resumed.step(batches, 1e-3, key(2));
  CHECK(copy_of(first->values) == copy_of(second->values) && copy_of(session.moment1()) == copy_of(resumed.moment1()));
  CHECK(copy_of(session.moment2()) == copy_of(resumed.moment2()) && resumed.steps() == 3);
  session.step({}, 1e-3, key(3));
  CHECK(session.steps() == 4);
}

CASE("a row whose gradient alone is not finite is refused, and nothing moves") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  const auto adapter = adapter_of(d, 0, 1e5f);
  for (const TensorLayout& tensor : adapter->layout())  // large gradients of lora_B, and an ordinary loss
    for (int64_t i = tensor.range().begin; tensor.part == Part::lora_B && i < tensor.range().end; ++i)
      adapter->values.span()[static_cast<size_t>(i)] = 0;
  const Values before = copy_of(adapter->values);
  Session session(engine, adapter, {});
  const std::vector<Batch> batches = {batch_of(d, {{9}, {8, 1, 3e38}}, 0, 2)};
  CHECK_THROWS(session.step(batches, 1e-3, privacy_of(1, 1)), E_NONFINITE);
  CHECK(copy_of(adapter->values) == before && session.steps() == 0);
}

CASE("a core is clipped and noised as a vector of its own") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  const auto core_session = [&] {
    const auto adapter = adapter_of(d);
    Values core;
    for (const TensorLayout& tensor : adapter->layout())
      for (int64_t i = 0; tensor.part == Part::lora_A && i < tensor.rows * tensor.rows; ++i)
        core.push_back(i % (tensor.rows + 1) == 0 ? 1.0f : 0.0f);
    return std::make_unique<Session>(engine, adapter, SessionOptions{.optimizer = Optimizer::sgd},
                                     std::make_unique<Core>(*adapter, Core::A_of(*adapter), core));
  };
  const auto moved = [&](const std::vector<Row>& rows, const std::optional<PrivateStep>& privacy) {
    const auto session = core_session();
    const Values before = copy_of(session->core()->values);
    session->step(std::vector<Batch>{batch_of(d, rows, 0, rows.size())}, rate, privacy);
    return taken(before, copy_of(session->core()->values));
  };
  const std::vector<Row> one = {{9}};
  const std::vector<double> plain = moved(one, {});
  const double norm = norm_of(plain), clip = norm / 3;
  std::vector<double> want;
  for (double value : plain) want.push_back(value / 3);
  CHECK_LE(distance(moved(one, privacy_of(clip, 0, 1)), want), 1e-6 * largest(plain));
  CHECK_LE(distance(moved(one, privacy_of(2 * norm, 0, 1)), plain), 1e-6 * largest(plain));
  Values noise(plain.size());
  const PrivateStep privacy = privacy_of(clip, 2, 1);
  add_noise(noise, {privacy.key, 2 * clip, 1});
  for (size_t i = 0; i < want.size(); ++i) want[i] += static_cast<double>(noise[i]);
  CHECK_LE(distance(moved(one, privacy), want), 1e-6 * largest(want));
}

CASE("what a private step refuses") {
  const auto engine = engine_of({});
  const Description& d = engine->description();
  const auto adapter = adapter_of(d);
  Session session(engine, adapter, {});
  const std::vector<Batch> batches = grouped(d, {{9}}, {1});
  for (const auto& [clip, noise, expected] : std::vector<std::array<double, 3>>{{0, 1, 1},
                                                                                {-1, 1, 1},
                                                                                {NAN, 1, 1},
                                                                                {INFINITY, 1, 1},
                                                                                {1, -1e-9, 1},
                                                                                {1, NAN, 1},
                                                                                {1, INFINITY, 1},
                                                                                {1, 1, 0},
                                                                                {1, 1, -2},
                                                                                {1, 1, NAN},
                                                                                {1, 1, INFINITY}})
    CHECK_THROWS(session.step(batches, 1e-3, privacy_of(clip, noise, expected)), E_ARGUMENT);
  CHECK(session.steps() == 0);
  session.step(batches, 1e-3, privacy_of(INFINITY, 0, 1));
}

TEST_MAIN()
