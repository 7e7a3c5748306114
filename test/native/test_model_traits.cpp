// What families may differ in and no golden checkpoint has, through whole blocks and the head: the engine against the book's transformer
// in double.
#include <algorithm>
#include <cmath>
#include <functional>

#include "book_backend.h"
#include "golden_engine.h"
#include "golden_transformer.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {

struct Trait {
  const char* name;
  std::function<void(Description&, ref::Transformer&)> set;
};

std::vector<double> scaled(std::vector<double> values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

const Trait traits[] = {
    {"embedding multiplier", [](Description& d, ref::Transformer& book) { book.embedding_multiplier = d.embedding_multiplier = 3.5f; }},
    {"logits divider", [](Description& d, ref::Transformer& book) { book.logits_divider = d.logits_divider = 2.5f; }},
    {"residual multiplier", [](Description& d, ref::Transformer& book) { book.residual_multiplier = d.residual_multiplier = 0.25f; }},
    {"soft cap of scores", [](Description& d, ref::Transformer& book) { book.attention.soft_cap = d.attention_soft_cap = 0.75f; }},
    {"soft cap of logits", [](Description& d, ref::Transformer& book) { book.logit_soft_cap = d.logit_soft_cap = 2; }},
    {"ALiBi",
     [](Description& d, ref::Transformer& book) {
       static constexpr float slopes[] = {0.5f, 0.0625f, 0.3f, 0.011f};
       d.alibi_slopes.assign(slopes, slopes + 4);
       book.attention.slopes = slopes;
     }},
    {"norm of embeddings",
     [](Description& d, ref::Transformer& book) {
       d.embedding_norm = d.final_norm;
       book.embedding_norm = book.final_norm;
     }},
    {"attention scale", [](Description& d, ref::Transformer& book) { book.attention.scale = d.attention_scale = 0.4f; }},
    {"attention factor of rope",
     [](Description& d, ref::Transformer& book) {
       d.ropes[0].attention_factor = 1.25f;
       book.ropes[0] = {scaled(book.ropes[0].cosine, 1.25), scaled(book.ropes[0].sine, 1.25)};
     }},
    {"gelu_tanh", [](Description& d, ref::Transformer& book) { book.activate = d.activation = Activate::gelu_tanh; }},
    {"relu", [](Description& d, ref::Transformer& book) { book.activate = d.activation = Activate::relu; }},
    {"a block without rotation",
     [](Description& d, ref::Transformer& book) {
       book.blocks[1].rope = d.layers[1].attention.rope = d.layers[1].attention.query_rope = -1;
     }},
    {"a rope of its own for each block",
     [](Description& d, ref::Transformer& book) {
       RopeDescription other = d.ropes[0];
       for (float& frequency : other.inverse_frequencies) frequency *= 0.5f;
       d.ropes.push_back(other);
       ref::Rope tables;
       ref::rope_tables(64, other.inverse_frequencies, tables.cosine, tables.sine);
       book.ropes.push_back(tables);
       book.blocks[0].rope = d.layers[0].attention.rope = d.layers[0].attention.query_rope = 1;
     }},
    {"a window in one block", [](Description& d, ref::Transformer& book) { book.blocks[1].window = d.layers[1].attention.window = 3; }},
    {"epsilon of the norms", [](Description& d, ref::Transformer& book) { book.norm_epsilon = d.norm_epsilon = 0.125f; }},
};

ref::TokenBatch book_batch(const Batch& batch) {
  ref::TokenBatch rows{batch.ids, batch.positions, batch.offsets, std::vector<int32_t>(batch.ids.size(), -1)};
  for (size_t i = 0; i < batch.supervised.size(); ++i) rows.targets[static_cast<size_t>(batch.supervised[i])] = batch.targets[i];
  return rows;
}

struct Errors {
  double logits = 0, loss = 0, gradient = 0;
};

/// The first golden row: enough for every trait to matter.
Batch rows_of(const Golden& golden) {
  const auto length = static_cast<size_t>(golden.lengths[0]);
  return make_batch(golden.description, std::span(golden.ids).first(length), std::span(golden.labels).first(length),
                    std::span(golden.lengths).first(1));
}

struct Book {
  ref::Transformer model;  // with the gradients of its adapters
  ref::TransformerResult result;
};

Book run_book(const Golden& golden, ref::Transformer model) {
  Book book{std::move(model), {}};
  book.result = ref::run_transformer(book.model, book_batch(rows_of(golden)), true);
  return book;
}

/// How far the engine that `description` makes is from the book.
Errors compare(const Golden& golden, const Description& description, Book& book, std::unique_ptr<Backend> backend) {
  const auto engine = golden_engine(description.family, description, std::move(backend));
  const Adapter adapter = golden.adapter();
  const Batch batch = rows_of(golden);
  const auto worse = [](double a, double b) { return std::isnan(b) || b > a ? b : a; };
  const std::vector<double>& want = book.result.logits;
  Errors errors;
  std::vector<float> logits(want.size()), gradient(adapter.values.size());
  const AdapterSegment segment{0, batch.tokens(), &adapter};
  engine->transformer->logits(batch, {&segment, 1}, logits.data());
  for (size_t i = 0; i < logits.size(); ++i) errors.logits = worse(errors.logits, std::fabs(logits[i] - want[i]));
  errors.loss = std::fabs(loss_and_gradient(*engine, adapter, batch, gradient).loss - book.result.loss);
  size_t compared = 0;
  for (const golden::Named& named : golden::linears(book.model))
    for (const TensorLayout& tensor : adapter.layout())
      for (const auto& [suffix, expected] : {std::pair{".lora_A.weight", &named.layer->d_A}, {".lora_B.weight", &named.layer->d_B}}) {
        if (tensor.name != named.name + suffix) continue;
        const std::vector<float> rounded(expected->begin(), expected->end());
        errors.gradient = worse(errors.gradient, harness::relative_error(gradient.data() + tensor.offset, rounded.data(), rounded.size()));
        ++compared;
      }
  CHECK(compared == adapter.layout().size());
  return errors;
}

/// Ten times what PyTorch's own float32 run of the family is away from float64, as in the golden tests.
struct Bounds {
  explicit Bounds(const Golden& golden)
      : logits(10 * golden.metadata("f32_error.logits")),
        loss(10 * std::max(golden.metadata("f32_error.loss"), 2e-7)),
        gradient(10 * golden.metadata("f32_error.grad_relative")) {}
  double logits, loss, gradient;
};

ref::Transformer load_book(const std::string& family) {
  const SafetensorsFile file(golden_path(family, "golden.safetensors"));
  return golden::load_transformer(std::string(FEDLORA_GOLDEN) + "/models/" + family, file);
}
}  // namespace

CASE("over the book and over the CPU backend, each trait alone: logits, loss and every gradient") {
  for (const std::string family : {"llama", "qwen3"}) {
    const Golden golden(family);
    const Bounds bounds(golden);
    const ref::Transformer plain = load_book(family);
    for (const Trait& trait : traits) {
      Description description = golden.description;
      ref::Transformer with = plain;
      trait.set(description, with);
      Book book = run_book(golden, std::move(with));
      for (const bool fast : {false, true}) {
        const Errors errors = compare(golden, description, book, fast ? nullptr : std::make_unique<BookBackend>());
        std::printf("# %-5s %-4s %-34s logits %.1e loss %.1e gradient %.1e\n", family.c_str(), fast ? "cpu" : "book", trait.name,
                    errors.logits, errors.loss, errors.gradient);
        CHECK_LE(errors.logits, bounds.logits);
        CHECK_LE(errors.loss, bounds.loss);
        CHECK_LE(errors.gradient, bounds.gradient);
      }
    }
  }
}

CASE("canary: a trait that the engine does not know of is seen in logits, loss and gradient") {
  const Golden golden("llama");
  const Bounds bounds(golden);
  const ref::Transformer plain = load_book("llama");
  for (const Trait& trait : traits) {
    Description ignored = golden.description;
    ref::Transformer with = plain;
    trait.set(ignored, with);
    Book book = run_book(golden, std::move(with));
    const Errors errors = compare(golden, golden.description, book, nullptr);
    CHECK(!(errors.logits <= bounds.logits));
    CHECK(!(errors.loss <= bounds.loss));
    CHECK(!(errors.gradient <= bounds.gradient));
  }
}

TEST_MAIN()
