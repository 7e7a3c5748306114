// step_together: every client gets, bit for bit, what it would get alone, whatever shares its passes.
#include <bit>
#include <cstring>

#include "backend/cpu/kernels/kernel_table.h"
#include "base/philox.h"
#include "engine/load.h"
#include "golden_model.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {

/// Words of one stream, one after another.
class Draws {
 public:
  explicit Draws(uint64_t key) : philox_{key, 77} {}
  uint32_t below(uint32_t bound) { return philox_(next_++)[0] % bound; }
  float symmetric(float bound) { return (2 * uniform_f32(philox_(next_++)[0]) - 1) * bound; }

 private:
  Philox philox_;
  uint64_t next_ = 0;
};

/// A golden family's shape with a larger vocabulary: the head's sums are longer than a panel.
Description description_of(const char* family) {
  Description d = golden_description(family);
  d.vocabulary = 1100;
  return d;
}

std::shared_ptr<Engine> engine_of(const Description& description, Format quantization, Compute compute, int threads) {
  LoadOptions options;
  options.description = description;
  options.quantization = quantization;
  options.compute = compute;
  options.threads = threads;
  return random_engine(options, 5);
}

/// `lengths` tokens a row; of a row of n tokens those after the first n × `bare` are supervised.
Batch rows_of(const Description& description, uint64_t key, std::vector<int32_t> lengths, double bare) {
  Draws draws(key);
  std::vector<int32_t> ids, labels;
  for (int32_t length : lengths)
    for (int32_t i = 0; i < length; ++i) {
      ids.push_back(static_cast<int32_t>(draws.below(static_cast<uint32_t>(description.vocabulary))));
      labels.push_back(i < length * bare ? not_supervised : ids.back());
    }
  return make_batch(description, ids, labels, lengths);
}

using Steps = std::vector<std::vector<Batch>>;

struct Client {
  std::shared_ptr<Adapter> adapter;
  SessionOptions options;
  double learning_rate;
  Steps steps;              // [optimiser step][micro-batch]
  double mu = 0;            // pulls to half the first values
  bool correction = false;  // a tenth of them
};

/// The parts of an adapter, from its tensor `first` on.
std::vector<Range> parts(const Adapter& adapter, Part part, size_t first = 0) {
  std::vector<Range> ranges;
  for (size_t i = first; i < adapter.layout().size(); ++i)
    if (adapter.layout()[i].part == part) ranges.push_back(adapter.layout()[i].range());
  return ranges;
}

Client make_client(const Description& description, uint64_t key, int rank, float dropout, int first_linear, Steps steps) {
  Draws draws(key);
  std::vector<AdapterLayer> layers;
  for (const BlockSpec& layer : description.layers)
    for (int linear = first_linear; linear < linears_per_layer; ++linear)
      layers.push_back({layer.linear(linear).module, rank, 2.0f, dropout});
  auto adapter = std::make_shared<Adapter>(AdapterMap(description, layers));
  for (float& value : adapter->values.span()) value = draws.symmetric(0.1f);
  Client client{std::move(adapter), {}, 1e-3 * static_cast<double>(1 + key % 3), std::move(steps)};
  client.options.dropout_seed = key;
  client.options.max_grad_norm = key % 2 == 0 ? 0.5 : 0;
  client.options.weight_decay = 0.01;
  return client;
}

/// Frozen factors beside some of the layers.
void add_residual(Adapter& adapter, int rank) {
  std::vector<int> ranks(adapter.layout().size() / 2, rank);
  for (size_t i = 0; i < ranks.size(); i += 3) ranks[i] = 0;
  ResidualMap map(adapter, ranks);
  Draws draws(static_cast<uint64_t>(rank));
  std::vector<float> values(static_cast<size_t>(map.size()));
  for (float& value : values) value = draws.symmetric(0.1f);
  adapter.set_residual(std::make_shared<Residual>(std::move(map), values));
}

/// Clients that differ in everything that they may differ in.
std::vector<Client> make_clients(const Description& d, Recompute recompute) {
  const auto rows = [&](uint64_t key, std::vector<int32_t> lengths, double bare = 0.3) {
    return rows_of(d, key, std::move(lengths), bare);
  };
  std::vector<Client> clients;
  clients.push_back(make_client(d, 1, 4, 0, 0, {{rows(1, {5})}, {rows(2, {3, 1})}, {rows(3, {1, 2})}}));
  clients.push_back(make_client(d, 2, 16, 0, 0, {{rows(4, {17, 9, 30}), rows(5, {8})}, {rows(6, {33}), rows(7, {2}), rows(8, {31})}}));
  clients.push_back(make_client(d, 3, 3, 0.25f, 0, {{rows(9, {13, 7})}, {rows(10, {20}), rows(11, {6, 6})}, {rows(12, {11})}}));
  clients.push_back(make_client(d, 4, 33, 0, linear_o, {{rows(13, {40}, 0), rows(14, {10}, 1), rows(15, {21})}, {rows(16, {12}, 1)}}));
  clients.push_back(make_client(d, 5, 8, 0.5f, linear_gate, {{rows(17, {64}, 0.9), rows(18, {19, 2, 5})}, {rows(19, {7})}}));
  clients.push_back(make_client(d, 6, 16, 0, 0, {{rows(20, {9}, 1)}, {rows(21, {9}, 1)}, {rows(22, {29})}}));
  for (Client& client : clients) client.options.recompute = recompute;
  clients[1].options.optimizer = Optimizer::sgd;
  clients[1].options.momentum = 0.9;
  add_residual(*clients[2].adapter, 5);
  add_residual(*clients[5].adapter, 18);
  clients[0].options.trainable = parts(*clients[0].adapter, Part::lora_B);
  clients[2].options.trainable = {{7, 100}, {101, 3000}};
  clients[4].options.trainable = parts(*clients[4].adapter, Part::lora_A, 5);
  clients[5].options.trainable = parts(*clients[5].adapter, Part::lora_A);
  clients[1].mu = clients[4].mu = 0.3;
  for (size_t c : {size_t{1}, size_t{3}}) {  // rows of weights of their own in some micro-batches
    Batch& batch = clients[c].steps[0].front();
    for (size_t i = 0; i < batch.supervised.size(); ++i) batch.weights.push_back(0.25f + static_cast<float>(i % 3));
  }
  clients[3].correction = clients[4].correction = true;
  return clients;
}

/// What is left of a client: results of its steps, adapter, moments, as one list of words.
using Trace = std::vector<uint64_t>;

void note(Trace& trace, const StepResult& result) {
  for (double value : {result.loss, result.grad_norm}) trace.push_back(std::bit_cast<uint64_t>(value));
  for (int64_t value : {result.tokens, result.supervised, int64_t{result.cancelled}}) trace.push_back(static_cast<uint64_t>(value));
}
void note(Trace& trace, const Buffer<float>& values) {
  for (float value : values.span()) trace.push_back(std::bit_cast<uint32_t>(value));
}
void note(Trace& trace, Session& session) {
  trace.push_back(static_cast<uint64_t>(session.steps()));
  note(trace, session.adapter().values);
  note(trace, session.moment1());
  note(trace, session.moment2());
}

std::unique_ptr<Session> session_of(const std::shared_ptr<Engine>& engine, const Client& client) {
  auto adapter = std::make_shared<Adapter>(static_cast<const AdapterMap&>(*client.adapter));
  std::copy(client.adapter->values.span().begin(), client.adapter->values.span().end(), adapter->values.span().begin());
  adapter->set_residual(client.adapter->residual());
  auto session = std::make_unique<Session>(engine, adapter, client.options);
  const auto scaled = [&](bool wanted, float factor) {
    Buffer<float> values(host_memory(), wanted ? adapter->values.size() : 0);
    for (size_t i = 0; i < values.size(); ++i) values.span()[i] = factor * adapter->values.span()[i];
    return values;
  };
  session->set_terms({client.mu, scaled(client.mu > 0, 0.5f), scaled(client.correction, 0.1f)});
  return session;
}

Trace alone(const std::shared_ptr<Engine>& engine, const Client& client) {
  const auto session = session_of(engine, client);
  Trace trace;
  for (const std::vector<Batch>& batches : client.steps) note(trace, session->step(batches, client.learning_rate));
  note(trace, *session);
  return trace;
}

/// Step k of every client that has one, in one call after another.
std::vector<Trace> together(const std::shared_ptr<Engine>& engine, const std::vector<Client>& clients, int64_t most_tokens) {
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Trace> traces(clients.size());
  for (const Client& client : clients) sessions.push_back(session_of(engine, client));
  for (size_t k = 0;; ++k) {
    std::vector<SessionStep> steps;
    std::vector<size_t> who;
    for (size_t c = 0; c < clients.size(); ++c) {
      if (k >= clients[c].steps.size()) continue;
      steps.push_back({sessions[c].get(), clients[c].steps[k], clients[c].learning_rate});
      who.push_back(c);
    }
    if (steps.empty()) break;
    const std::vector<SessionOutcome> outcomes = step_together(steps, most_tokens);
    for (size_t i = 0; i < who.size(); ++i) {
      CHECK(!outcomes[i].error);
      note(traces[who[i]], outcomes[i].result);
    }
  }
  for (size_t c = 0; c < clients.size(); ++c) note(traces[c], *sessions[c]);
  return traces;
}

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();

void judge(const char* family, Format quantization, Compute compute, Recompute recompute, int threads) {
  const Description description = description_of(family);
  const auto engine = engine_of(description, quantization, compute, threads);
  const std::vector<Client> clients = make_clients(description, recompute);
  std::vector<Trace> want;
  for (const Client& client : clients) want.push_back(alone(engine, client));
  for (int64_t most_tokens : {unlimited, int64_t{48}}) {
    const std::vector<Trace> got = together(engine, clients, most_tokens);
    for (size_t c = 0; c < clients.size(); ++c) {
      CHECK(got[c] == want[c]);
      if (got[c] != want[c])
        std::printf("# … client %zu of %s, quantization %d, %s, recompute %d\n", c, family, static_cast<int>(quantization),
                    compute == Compute::f32 ? "f32" : "bf16", static_cast<int>(recompute));
    }
  }
}

}  // namespace

CASE("each client's bits are those it gets alone: formats, compute modes, recomputation") {
  for (Format quantization : {Format::bf16, Format::int8, Format::nf4})
    for (Compute compute : {Compute::f32, Compute::bf16})
      for (Recompute recompute : {Recompute::none, Recompute::gate_up, Recompute::all}) judge("qwen3", quantization, compute, recompute, 2);
}

CASE("the same with a sliding window, biases, and other numbers of threads") {
  for (Compute compute : {Compute::f32, Compute::bf16}) {
    judge("mistral", Format::nf4, compute, Recompute::none, 1);
    judge("qwen2", Format::bf16, compute, Recompute::none, 3);
  }
}

CASE("clients that recompute differently are kept in passes of their own") {
  const Description description = description_of("llama");
  const auto engine = engine_of(description, Format::nf4, Compute::bf16, 2);
  std::vector<Client> clients = make_clients(description, Recompute::none);
  clients[1].options.recompute = clients[4].options.recompute = Recompute::all;
  clients[2].options.recompute = Recompute::gate_up;
  const std::vector<Trace> got = together(engine, clients, unlimited);
  for (size_t c = 0; c < clients.size(); ++c) CHECK(got[c] == alone(engine, clients[c]));
}

CASE("one that diverges gets its own error; the others do not notice") {
  const Description description = description_of("llama");
  for (Compute compute : {Compute::f32, Compute::bf16}) {
    const auto engine = engine_of(description, Format::nf4, compute, 2);
    std::vector<Client> clients = make_clients(description, Recompute::none);
    clients[2].adapter->values.span()[40] = INFINITY;
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<SessionStep> steps;
    for (const Client& client : clients) {
      sessions.push_back(session_of(engine, client));
      steps.push_back({sessions.back().get(), client.steps[0], client.learning_rate});
    }
    const std::vector<SessionOutcome> outcomes = step_together(steps);
    for (size_t c = 0; c < clients.size(); ++c) {
      const auto own = session_of(engine, clients[c]);
      Trace got, want;
      if (c == 2) {
        CHECK_THROWS(own->step(clients[c].steps[0], clients[c].learning_rate), E_NONFINITE);
        CHECK(outcomes[c].error && outcomes[c].error->code() == Code::E_NONFINITE);
      } else {
        CHECK(!outcomes[c].error);
        note(got, outcomes[c].result);
        note(want, own->step(clients[c].steps[0], clients[c].learning_rate));
      }
      note(got, *sessions[c]);
      note(want, *own);
      CHECK(got == want);
    }
  }
}

CASE("cancelled, nobody has moved, and the next step is as if nothing had been") {
  const Description description = description_of("llama");
  const auto engine = engine_of(description, Format::nf4, Compute::bf16, 2);
  const std::vector<Client> clients = make_clients(description, Recompute::none);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<SessionStep> steps;
  for (const Client& client : clients) {
    sessions.push_back(session_of(engine, client));
    steps.push_back({sessions.back().get(), client.steps[0], client.learning_rate});
  }
  const std::atomic<bool> cancel = true;
  engine->transformer->set_cancel_flag(&cancel);
  for (const SessionOutcome& outcome : step_together(steps)) CHECK(outcome.result.cancelled == (outcome.result.supervised > 0));
  engine->transformer->set_cancel_flag(nullptr);
  for (size_t c = 0; c < clients.size(); ++c) CHECK(sessions[c]->adapter().values.span()[0] == clients[c].adapter->values.span()[0]);
  const std::vector<SessionOutcome> outcomes = step_together(steps);
  for (size_t c = 0; c < clients.size(); ++c) {
    const auto own = session_of(engine, clients[c]);
    Trace got, want;
    note(got, outcomes[c].result);
    note(want, own->step(clients[c].steps[0], clients[c].learning_rate));
    note(got, *sessions[c]);
    note(want, *own);
    CHECK(got == want);
  }
}

CASE("an adapter that takes part twice, and sessions of two engines, are refused") {
  const Description description = description_of("llama");
  const auto engine = engine_of(description, Format::nf4, Compute::f32, 1);
  const auto other = engine_of(description, Format::nf4, Compute::f32, 1);
  const std::vector<Client> clients = make_clients(description, Recompute::none);
  Session one(engine, clients[0].adapter, clients[0].options), same(engine, clients[0].adapter, clients[0].options),
      foreign(other, clients[1].adapter, clients[1].options);
  const SessionStep a{&one, clients[0].steps[0], 1e-3}, b{&same, clients[0].steps[0], 1e-3}, c{&foreign, clients[1].steps[0], 1e-3};
  const SessionStep twice[] = {a, b}, strangers[] = {a, c};
  CHECK_THROWS(step_together(twice), E_ARGUMENT);
  CHECK_THROWS(step_together(strangers), E_ARGUMENT);
}

CASE("canary: a client's own change, of a token, a mask or a scale, is seen in its bits and in no other's") {
  const Description description = description_of("llama");
  const auto engine = engine_of(description, Format::nf4, Compute::bf16, 2);
  const std::vector<Client> clients = make_clients(description, Recompute::none);
  const std::vector<Trace> want = together(engine, clients, unlimited);
  std::vector<Client> token = clients, mask = clients, scale = clients;
  token[2].steps[0][0].ids[3] ^= 1;
  mask[2].options.dropout_seed ^= 1;
  scale[2].steps[0][0].supervised.pop_back();
  scale[2].steps[0][0].targets.pop_back();
  for (const std::vector<Client>* changed : {&token, &mask, &scale}) {
    const std::vector<Trace> got = together(engine, *changed, unlimited);
    for (size_t c = 0; c < clients.size(); ++c) CHECK((got[c] == want[c]) == (c != 2));
  }
}

TEST_MAIN()
