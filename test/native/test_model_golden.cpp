// The model's own wiring, over the book and over the CPU backend, against PyTorch's golden tensors.
#include "backend/ops.h"
#include "book_backend.h"
#include "golden_engine.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {

constexpr const char* families[] = {"llama",      "llama3-rope", "llama-linear", "llama-yarn", "mistral", "ministral3", "qwen2",   "qwen3",
                                    "gemma",      "gemma2",      "gemma3",       "granite",    "olmo2",   "olmo3",      "smollm3", "phi3",
                                    "starcoder2", "phi",         "gpt-neox",     "opt",        "gpt2",    "bloom"};
/// Its batch has rows on both sides of the length where its frequencies change; PyTorch gives all of them those of the longest.
constexpr const char* longrope = "phi3-longrope";

std::vector<const char*> with_longrope() {
  std::vector<const char*> all(std::begin(families), std::end(families));
  all.push_back(longrope);
  return all;
}

struct Errors {
  double logits, loss, gradient;  // largest absolute; absolute; worst relative norm of a tensor
  double logits_bound, loss_bound, gradient_bound;
};

Errors measure(const Golden& golden, Engine& engine, const Adapter& adapter) {
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  const std::vector<float> want = golden.logits();
  std::vector<float> got(want.size()), gradient(adapter.values.size());
  const AdapterSegment segment{0, batch.tokens(), &adapter};
  engine.transformer->logits(batch, {&segment, 1}, got.data());
  const double loss = loss_and_gradient(engine, adapter, batch, gradient).loss;
  const double want_loss = read_vector(golden.tensors, "loss")[0];
  Errors errors;
  errors.logits = harness::max_error(got.data(), want.data(), want.size());
  errors.loss = std::fabs(loss - want_loss);
  errors.gradient = 0;
  for (const TensorLayout& tensor : adapter.layout()) {
    const std::vector<float> expected = read_vector(golden.tensors, "grad." + tensor.name);
    const double error = harness::relative_error(gradient.data() + tensor.offset, expected.data(), expected.size());
    if (!(error <= errors.gradient)) errors.gradient = error;
  }
  errors.logits_bound = 10 * golden.metadata("f32_error.logits");
  errors.loss_bound = std::max(10 * golden.metadata("f32_error.loss"), 2e-6 * want_loss);
  errors.gradient_bound = 10 * golden.metadata("f32_error.grad_relative");
  return errors;
}

void judge(const std::string& family, bool book) {
  const Golden golden(family);
  const auto engine = golden_engine(family, golden.description, book ? std::make_unique<BookBackend>() : nullptr);
  const Errors errors = measure(golden, *engine, golden.adapter());
  CHECK_LE(errors.logits, errors.logits_bound);
  CHECK_LE(errors.loss, errors.loss_bound);
  CHECK_LE(errors.gradient, errors.gradient_bound);
}
}  // namespace

CASE("over the book: logits, loss and every gradient of every family") {
  for (const char* family : families) judge(family, true);
}

CASE("over the CPU backend: logits, loss and every gradient of every family") {
  for (const char* family : families) judge(family, false);
}

CASE("rows longer than the original context turn by frequencies of their own, whatever is beside them") {
  const Golden golden(longrope);
  const size_t length = static_cast<size_t>(golden.lengths[0]), V = static_cast<size_t>(golden.description.vocabulary);
  CHECK(static_cast<int64_t>(length) > golden.description.ropes[0].original_positions && golden.lengths[1] < golden.lengths[0]);
  const std::vector<float> want = golden.logits();
  const Adapter adapter = golden.adapter();
  for (const bool book : {true, false}) {
    const auto engine = golden_engine(longrope, golden.description, book ? std::make_unique<BookBackend>() : nullptr);
    const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
    const AdapterSegment segment{0, batch.tokens(), &adapter};
    std::vector<float> got(want.size());
    engine->transformer->logits(batch, {&segment, 1}, got.data());
    CHECK_LE(harness::max_error(got.data(), want.data(), length * V), 10 * golden.metadata("f32_error.logits"));
    CHECK(!(harness::max_error(got.data() + length * V, want.data() + length * V, V * static_cast<size_t>(golden.lengths[1])) <=
            10 * golden.metadata("f32_error.logits")));
  }
}

CASE("decoding with a cache gives the golden greedy continuation, with the same logits at any number of threads") {
  for (const char* family : with_longrope()) {
    const Golden golden(family);
    std::vector<std::shared_ptr<Engine>> engines;
    for (int threads : {1, 2, 3}) engines.push_back(golden_engine(family, golden.description, nullptr, threads));
    const Adapter adapter = golden.adapter();
    const TensorView prompt = golden.tensors.get("generate.prompt"), greedy = golden.tensors.get("generate.greedy");
    std::vector<int64_t> ids(static_cast<size_t>(greedy.elements()));
    std::memcpy(ids.data(), greedy.data, greedy.bytes);
    std::vector<int32_t> begin(ids.begin(), ids.begin() + prompt.elements());
    std::vector<std::vector<float>> all(engines.size());  // logits after the prompt and each token
    for (size_t e = 0; e < engines.size(); ++e) {
      Transformer& transformer = *engines[e]->transformer;
      KvCache cache = transformer.make_cache(greedy.elements());
      std::vector<float> logits(static_cast<size_t>(golden.description.vocabulary));
      transformer.prefill(begin, &adapter, cache, logits.data());
      for (size_t i = begin.size(); i < ids.size(); ++i) {
        all[e].insert(all[e].end(), logits.begin(), logits.end());
        const auto next = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        CHECK(next == ids[i]);
        if (i + 1 < ids.size()) transformer.decode(next, &adapter, cache, logits.data());
      }
      CHECK(all[e].size() == all[0].size() && std::memcmp(all[e].data(), all[0].data(), all[0].size() * sizeof(float)) == 0);
    }
  }
}

CASE("20 AdamW steps follow PyTorch's loss curve") {
  for (const char* family : with_longrope()) {
    const Golden golden(family);
    const auto engine = golden_engine(family, golden.description);
    auto adapter = std::make_shared<Adapter>(golden.adapter());
    SessionOptions options;
    options.weight_decay = 0.01f;
    options.max_grad_norm = 1;
    Session session(engine, adapter, options);
    const auto read = [&](const char* name) {
      const TensorView view = golden.tensors.get(name);
      std::vector<int64_t> values(static_cast<size_t>(view.elements()));
      std::memcpy(values.data(), view.data, view.bytes);
      return values;
    };
    const std::vector<int64_t> ids = read("curve.input_ids"), labels = read("curve.labels"), mask = read("curve.attention_mask");
    const std::vector<float> losses = read_vector(golden.tensors, "curve.loss"), norms = read_vector(golden.tensors, "curve.grad_norm"),
                             rates = read_vector(golden.tensors, "curve.lr");
    const std::vector<int64_t> shape = golden.tensors.get("curve.input_ids").shape;
    for (int64_t step = 0; step < shape[0]; ++step) {
      std::vector<int32_t> step_ids, step_labels, lengths;
      for (int64_t row = 0; row < shape[1]; ++row) {
        int32_t length = 0;
        for (int64_t t = 0; t < shape[2]; ++t) {
          const size_t i = static_cast<size_t>((step * shape[1] + row) * shape[2] + t);
          if (mask[i] == 0) continue;
          step_ids.push_back(static_cast<int32_t>(ids[i]));
          step_labels.push_back(static_cast<int32_t>(labels[i]));
          ++length;
        }
        lengths.push_back(length);
      }
      const Batch batch = make_batch(golden.description, step_ids, step_labels, lengths);
      const StepResult result = session.step({&batch, 1}, rates[static_cast<size_t>(step)]);
      const double want = losses[static_cast<size_t>(step)];
      CHECK_LE(std::fabs(result.loss - want) / want, std::max(10 * golden.metadata("f32_error.curve_loss"), 1e-5));
      CHECK_LE(std::fabs(result.grad_norm - norms[static_cast<size_t>(step)]) / norms[static_cast<size_t>(step)], 1e-3);
    }
  }
}

CASE("canary: a wrong scaling of one layer's adapter is seen in logits, loss and gradient") {
  const Golden golden("llama");
  for (const bool book : {true, false}) {
    const auto engine = golden_engine("llama", golden.description, book ? std::make_unique<BookBackend>() : nullptr);
    const Errors errors = measure(golden, *engine, golden.adapter(1.001f));
    CHECK(!(errors.logits <= errors.logits_bound));
    CHECK(!(errors.loss <= errors.loss_bound));
    CHECK(!(errors.gradient <= errors.gradient_bound));
  }
}

CASE("canary: a layer without its rope is seen in logits, loss and gradient") {
  const Golden golden("llama");
  Description broken = golden.description;
  broken.layers[1].attention.rope = broken.layers[1].attention.query_rope = -1;
  const Errors errors = measure(golden, *golden_engine("llama", broken), golden.adapter());
  CHECK(!(errors.logits <= errors.logits_bound));
  CHECK(!(errors.loss <= errors.loss_bound));
  CHECK(!(errors.gradient <= errors.gradient_bound));
}

TEST_MAIN()
