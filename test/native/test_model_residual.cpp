// An adapter with frozen factors beside its trained ones. The golden adapter of rank 8 is split, in each layer elsewhere, into a trained
// and a frozen part: the function is the same, so that PyTorch's golden tensors judge the logits, the loss, and the gradients of what is
// trained.
#include <cmath>

#include "backend/cpu/cpu.h"
#include "book_backend.h"
#include "convert/merge.h"
#include "engine/generation.h"
#include "golden_engine.h"
#include "harness.h"
#include "scratch_folder.h"
#include "training/session.h"

using namespace fedlora;

namespace {

constexpr const char* families[] = {"llama", "llama3-rope", "mistral", "qwen2", "qwen3"};
constexpr int frozen_ranks[] = {3, 0, 7, 1, 4};  // of 8, layer after layer

/// Rows [begin, begin + rows) of the left [rows, columns] or, for B, the columns: what `part` of a factor of rank 8 holds.
std::vector<float> ranks_of(const std::vector<float>& factor, Part which, int64_t from, int64_t count) {
  std::vector<float> part;
  const int64_t width = static_cast<int64_t>(factor.size()) / 8;
  if (which == Part::lora_A) part.assign(factor.begin() + from * width, factor.begin() + (from + count) * width);
  for (int64_t n = 0; which == Part::lora_B && n < width; ++n)
    part.insert(part.end(), factor.begin() + n * 8 + from, factor.begin() + n * 8 + from + count);
  return part;
}

/// The golden adapter with its last ranks frozen, a layer's number of them as above. `wrong` multiplies the first frozen value.
std::shared_ptr<Adapter> split(const Golden& golden, float wrong = 1, float dropout = 0) {
  const Adapter whole = golden.adapter();
  std::vector<AdapterLayer> layers;
  std::vector<int> ranks;
  for (const ModelTensor& linear : list_linears(golden.description)) {
    ranks.push_back(frozen_ranks[ranks.size() % std::size(frozen_ranks)]);
    layers.push_back({linear.module, 8 - ranks.back(), 2.0f, dropout});
  }
  auto adapter = std::make_shared<Adapter>(AdapterMap(golden.description, layers));
  std::vector<float> frozen;
  for (size_t i = 0; i < whole.layout().size(); ++i) {
    const TensorLayout& tensor = whole.layout()[i];
    const std::vector<float> factor(whole.values.span().begin() + tensor.offset,
                                    whole.values.span().begin() + tensor.offset + tensor.size());
    const int64_t trained = 8 - ranks[i / 2];
    const std::vector<float> own = ranks_of(factor, tensor.part, 0, trained);
    std::copy(own.begin(), own.end(), adapter->values.span().begin() + adapter->layout()[i].offset);
    for (float value : ranks_of(factor, tensor.part, trained, 8 - trained)) frozen.push_back(value);
  }
  frozen.front() *= wrong;
  adapter->set_residual(std::make_shared<Residual>(ResidualMap(*adapter, ranks), frozen));
  return adapter;
}

struct Errors {
  double logits, loss, gradient;  // each divided by its bound
  double worst() const { return std::max({logits, loss, gradient}); }
};

Errors measure(const Golden& golden, Engine& engine, const Adapter& adapter) {
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  const std::vector<float> want = golden.logits();
  std::vector<float> got(want.size()), gradient(adapter.values.size());
  const AdapterSegment segment{0, batch.tokens(), &adapter};
  engine.transformer->logits(batch, {&segment, 1}, got.data());
  const double want_loss = read_vector(golden.tensors, "loss")[0];
  const double loss = loss_and_gradient(engine, adapter, batch, gradient).loss;
  Errors errors;
  errors.logits = harness::max_error(got.data(), want.data(), want.size()) / (10 * golden.metadata("f32_error.logits"));
  errors.loss = std::fabs(loss - want_loss) / std::max(10 * golden.metadata("f32_error.loss"), 2e-6 * want_loss);
  errors.gradient = 0;
  for (const TensorLayout& tensor : adapter.layout()) {
    const int64_t rank = tensor.part == Part::lora_A ? tensor.rows : tensor.columns;
    const std::vector<float> expected = ranks_of(read_vector(golden.tensors, "grad." + tensor.name), tensor.part, 0, rank);
    const double error = harness::relative_error(gradient.data() + tensor.offset, expected.data(), expected.size()) /
                         (10 * golden.metadata("f32_error.grad_relative"));
    if (!(error <= errors.gradient)) errors.gradient = error;
  }
  return errors;
}

std::vector<float> gradient_of(Engine& engine, const Adapter& adapter, const Batch& batch, Recompute recompute) {
  std::vector<float> gradient(adapter.values.size());
  const AdapterSegment segment{0, batch.tokens(), &adapter, gradient.data(), 0.1f, true, 3, 1};
  engine.transformer->accumulate(batch, {&segment, 1}, recompute);
  return gradient;
}
}  // namespace

CASE("over the book and over the CPU backend: logits, loss and the gradients of the trained part, five families") {
  for (const char* family : families)
    for (const bool book : {true, false}) {
      const Golden golden(family);
      const auto engine = golden_engine(family, golden.description, book ? std::make_unique<BookBackend>() : nullptr);
      const Errors errors = measure(golden, *engine, *split(golden));
      CHECK_LE(errors.logits, 1);
      CHECK_LE(errors.loss, 1);
      CHECK_LE(errors.gradient, 1);
    }
}

CASE("canary: one frozen value that is wrong is seen in logits, loss and gradient; so is a residual that is missing") {
  const Golden golden("llama");
  for (const bool book : {true, false}) {
    const auto engine = golden_engine("llama", golden.description, book ? std::make_unique<BookBackend>() : nullptr);
    const Errors errors = measure(golden, *engine, *split(golden, 1.5f));
    CHECK(!(errors.logits <= 1) && !(errors.loss <= 1) && !(errors.gradient <= 1));
    const auto without = split(golden);
    without->set_residual(nullptr);
    CHECK(!(measure(golden, *engine, *without).logits <= 1));
  }
}

CASE("decoding gives the golden greedy continuation, at any number of threads") {
  for (const char* family : families) {
    const Golden golden(family);
    const auto adapter = split(golden);
    const TensorView prompt = golden.tensors.get("generate.prompt"), greedy = golden.tensors.get("generate.greedy");
    std::vector<int64_t> want(static_cast<size_t>(greedy.elements()));
    std::memcpy(want.data(), greedy.data, greedy.bytes);
    for (const int threads : {1, 3}) {
      const auto engine = golden_engine(family, golden.description, nullptr, threads);
      GenerationOptions options;
      options.prompt.assign(want.begin(), want.begin() + prompt.elements());
      options.max_tokens = static_cast<int64_t>(want.size()) - prompt.elements();
      Generation generation(golden.description, options);
      const std::vector<int32_t> ids = generation.next(*engine->transformer, adapter.get(), options.max_tokens);
      CHECK(std::equal(ids.begin(), ids.end(), want.begin() + prompt.elements(), want.end()));
    }
  }
}

CASE("a generation ends with E_BUSY when the residual changes") {
  const Golden golden("llama");
  const auto engine = golden_engine("llama", golden.description);
  const auto adapter = split(golden);
  GenerationOptions options;
  options.prompt = {5, 17, 200};
  options.max_tokens = 4;
  Generation generation(golden.description, options);
  generation.next(*engine->transformer, adapter.get(), 1);
  adapter->set_residual(nullptr);
  CHECK_THROWS(generation.next(*engine->transformer, adapter.get(), 1), E_BUSY);
}

CASE("recomputation and threads change no bit, with dropout too") {
  const Golden golden("qwen3");
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  for (const float dropout : {0.0f, 0.3f}) {
    const auto adapter = split(golden, 1, dropout);
    const auto one = golden_engine("qwen3", golden.description, nullptr, 1), two = golden_engine("qwen3", golden.description, nullptr, 2);
    const std::vector<float> want = gradient_of(*one, *adapter, batch, Recompute::none);
    for (const Recompute recompute : {Recompute::none, Recompute::gate_up, Recompute::all})
      CHECK(gradient_of(*two, *adapter, batch, recompute) == want);
  }
}

CASE("a step trains the trained part and leaves the frozen one as it is") {
  const Golden golden("llama");
  const auto engine = golden_engine("llama", golden.description);
  const auto adapter = split(golden);
  const std::vector<float> frozen(adapter->residual()->values().span().begin(), adapter->residual()->values().span().end());
  const std::vector<float> before(adapter->values.span().begin(), adapter->values.span().end());
  SessionOptions options;
  options.weight_decay = 0.1;
  Session session(engine, adapter, options);
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  const double first = session.step({&batch, 1}, 1e-2).loss;
  CHECK(session.step({&batch, 1}, 1e-2).loss < first);
  CHECK(!std::equal(before.begin(), before.end(), adapter->values.span().begin()));
  CHECK(std::equal(frozen.begin(), frozen.end(), adapter->residual()->values().span().begin()));
}

CASE("merged: the bits of the golden adapter's merge, of which it is a split") {
  const Golden golden("llama");
  const ScratchFolder folder;
  const std::vector<std::string> files{golden_path("llama", "model.safetensors")};
  merge_checkpoint(files, folder / "whole", golden.description, golden.adapter());
  merge_checkpoint(files, folder / "split", golden.description, *host_copy(*split(golden)));
  merge_checkpoint(files, folder / "wrong", golden.description, *split(golden, 1.5f));
  const Checkpoint whole({folder / "whole"}), both({folder / "split"}), wrong({folder / "wrong"});
  bool differs = false;
  for (const ModelTensor& linear : list_linears(golden.description)) {
    const std::vector<float> want = read_vector(whole, linear.name());
    CHECK(read_vector(both, linear.name()) == want);
    differs = differs || read_vector(wrong, linear.name()) != want;
  }
  CHECK(differs);  // canary
}

CASE("the plan counts a residual's values once, and what the backend holds for it") {
  const Golden golden("llama");
  const int64_t width = golden.description.hidden;
  for (const Compute compute : {Compute::f32, Compute::bf16}) {
    const auto backend = make_cpu_backend(compute, 2);
    PlanRequest request;
    request.tokens = 300, request.supervised = 10, request.adapters = 3;
    for (const ModelTensor& linear : list_linears(golden.description)) request.layers.push_back({linear.module, 4, 1, 0});
    const MemoryPlan plain = plan_step(golden.description, 0, *backend, request);
    request.residual.assign(request.layers.size(), 0);
    const MemoryPlan zero = plan_step(golden.description, 0, *backend, request);
    CHECK(zero.total() == plain.total());
    request.residual[linear_q] = 20, request.residual[linear_v] = 30, request.residual[linear_o] = 40;
    const MemoryPlan plan = plan_step(golden.description, 0, *backend, request);
    const int64_t kv = golden.description.kv_width(), query = golden.description.query_width();
    CHECK(plan.adapter == plain.adapter + 4 * static_cast<size_t>(20 * (width + query) + 30 * (width + kv) + 40 * (width + query)));
    CHECK(plan.saved == plain.saved && plan.loss == plain.loss);
    CHECK(plan.workspace >= plain.workspace + static_cast<size_t>(300 * 50 * activation_width(compute)));
    request.residual.pop_back();
    CHECK_THROWS(plan_step(golden.description, 0, *backend, request), E_SHAPE);
  }
}

TEST_MAIN()
