// The model's own wiring, over the book and over the CPU backend, against PyTorch's golden tensors.
#include "backend/ops.h"
#include "book_backend.h"
#include "golden_model.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {

constexpr const char* families[] = {"llama", "llama3-rope", "mistral", "qwen2", "qwen3"};

std::shared_ptr<Engine> engine_of(const std::string& family, const Description& description, bool book) {
  LoadOptions options;
  options.files = {golden_path(family, "model.safetensors")};
  options.description = description;
  options.threads = 2;
  std::shared_ptr<Engine> engine = load_engine(options, {});
  if (book) {
    auto weights = std::make_shared<Weights>();
    std::swap(*weights, const_cast<Weights&>(engine->transformer->weights()));
    engine->transformer = std::make_unique<Transformer>(weights, std::make_unique<BookBackend>());
  }
  return engine;
}

void judge(const std::string& family, bool book) {
  const Golden golden(family);
  const auto engine = engine_of(family, golden.description, book);
  const Adapter adapter = golden.adapter();
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);

  const std::vector<float> want = golden.logits();
  std::vector<float> got(want.size());
  const AdapterSegment segment{0, batch.tokens(), &adapter};
  engine->transformer->logits(batch, {&segment, 1}, got.data());
  CHECK_LE(harness::max_error(got.data(), want.data(), want.size()), 10 * golden.metadata("f32_error.logits"));

  std::vector<float> gradient(adapter.values.size());
  const LossSums sums = loss_and_gradient(*engine, adapter, batch, gradient);
  const double loss = sums.loss / static_cast<double>(sums.supervised), want_loss = read_vector(golden.tensors, "loss")[0];
  CHECK_LE(std::fabs(loss - want_loss), std::max(10 * golden.metadata("f32_error.loss"), 2e-6 * want_loss));
  for (const TensorLayout& tensor : adapter.layout()) {
    const std::vector<float> expected = read_vector(golden.tensors, "grad." + tensor.name);
    CHECK_LE(harness::relative_error(gradient.data() + tensor.offset, expected.data(), expected.size()),
             10 * golden.metadata("f32_error.grad_relative"));
  }
}

/// Gradients with recomputation are the same bits as without.
void judge_recompute(const std::string& family) {
  const Golden golden(family);
  const auto engine = engine_of(family, golden.description, false);
  const Adapter adapter = golden.adapter();
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  std::vector<std::vector<float>> gradients;
  for (const Recompute recompute : {Recompute::none, Recompute::gate_up, Recompute::all}) {
    gradients.emplace_back(adapter.values.size());
    const AdapterSegment segment{0, batch.tokens(), &adapter, gradients.back().data(), 1.0f / 64};
    engine->transformer->accumulate(batch, {&segment, 1}, recompute);
  }
  CHECK(std::memcmp(gradients[0].data(), gradients[1].data(), gradients[0].size() * sizeof(float)) == 0);
  CHECK(std::memcmp(gradients[0].data(), gradients[2].data(), gradients[0].size() * sizeof(float)) == 0);
}

}  // namespace

CASE("over the book: logits, loss and every gradient of five families") {
  for (const char* family : families) judge(family, true);
}

CASE("over the CPU backend: logits, loss and every gradient of five families") {
  for (const char* family : families) judge(family, false);
}

CASE("recomputing gate and up, or whole blocks, changes no bit") {
  for (const char* family : families) judge_recompute(family);
}

CASE("decoding with a cache gives the golden greedy continuation") {
  for (const char* family : families) {
    const Golden golden(family);
    const auto engine = engine_of(family, golden.description, false);
    const Adapter adapter = golden.adapter();
    const TensorView prompt = golden.tensors.get("generate.prompt"), greedy = golden.tensors.get("generate.greedy");
    std::vector<int64_t> ids(static_cast<size_t>(greedy.elements()));
    std::memcpy(ids.data(), greedy.data, greedy.bytes);
    std::vector<int32_t> begin(ids.begin(), ids.begin() + prompt.elements());
    KvCache cache = engine->transformer->make_cache(greedy.elements());
    std::vector<float> logits(static_cast<size_t>(golden.description.vocabulary));
    engine->transformer->prefill(begin, &adapter, cache, logits.data());
    for (size_t i = begin.size(); i < ids.size(); ++i) {
      const auto next = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      CHECK(next == ids[i]);
      if (i + 1 < ids.size()) engine->transformer->decode(next, &adapter, cache, logits.data());
    }
  }
}

CASE("20 AdamW steps follow PyTorch's loss curve") {
  for (const char* family : families) {
    const Golden golden(family);
    const auto engine = engine_of(family, golden.description, false);
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

CASE("canary: a wrong scaling of one layer is seen in logits and gradient") {
  const Golden golden("llama");
  Golden broken("llama");
  broken.description.layers[1].rope = -1;
  const auto engine = engine_of("llama", broken.description, true);
  const Adapter adapter = golden.adapter();
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  const std::vector<float> want = golden.logits();
  std::vector<float> got(want.size());
  const AdapterSegment segment{0, batch.tokens(), &adapter};
  engine->transformer->logits(batch, {&segment, 1}, got.data());
  CHECK(!(harness::max_error(got.data(), want.data(), want.size()) <= 10 * golden.metadata("f32_error.logits")));
}

TEST_MAIN()
