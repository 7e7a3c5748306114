/// The book's transformer against PyTorch and PEFT: every logit, the loss, every LoRA gradient. A tolerance is ten times what PyTorch's own
/// float32 run is away from its float64 run, which the golden file's metadata tells.
#include "book_check.h"
#include "golden_transformer.h"
#include "harness.h"

using namespace fedlora;

namespace {
struct Errors {
  double logits = 0, hidden = 0, loss = 0, gradient = 0;  // largest absolute, absolute, absolute; worst relative norm
};

Errors judge(ref::Transformer& model, const SafetensorsFile& file) {
  const ref::TokenBatch batch = golden::load_batch(file);
  const ref::TransformerResult result = ref::run_transformer(model, batch, true);
  const std::vector<int32_t> mask = golden::numbers<int32_t>(file, "attention_mask");
  Errors errors;
  const auto compare = [&](const std::vector<double>& got, const std::vector<double>& want, int64_t width) {
    double worst = got.size() == want.size() ? 0 : NAN;
    for (size_t i = 0; i < want.size(); ++i)
      if (mask[i / static_cast<size_t>(width)]) worst = book::worse(worst, std::fabs(got[i] - want[i]));
    return worst;
  };
  errors.logits = compare(result.logits, golden::numbers(file, "logits"), model.vocabulary);
  for (size_t i = 0; i < result.hidden.size(); ++i)
    errors.hidden =
        book::worse(errors.hidden, compare(result.hidden[i], golden::numbers(file, "hidden." + std::to_string(i)), model.hidden));
  errors.loss = std::fabs(result.loss - golden::numbers(file, "loss")[0]);
  for (const golden::Named& named : golden::linears(model))
    for (auto [suffix, got] : {std::pair{".lora_A.weight", &named.layer->d_A}, {".lora_B.weight", &named.layer->d_B}}) {
      const std::vector<double> want = golden::numbers(file, "grad." + named.name + suffix);
      double difference = 0, norm = 0;
      for (size_t i = 0; i < want.size(); ++i) difference += (got->at(i) - want[i]) * (got->at(i) - want[i]), norm += want[i] * want[i];
      const double relative = std::sqrt(difference / norm);
      errors.gradient = book::worse(errors.gradient, relative);
    }
  return errors;
}

Errors judge_family(const std::string& family, bool broken = false) {
  const std::string folder = std::string(FEDLORA_GOLDEN) + "/models/" + family;
  const SafetensorsFile file(folder + "/golden.safetensors");
  ref::Transformer model = golden::load_transformer(folder, file);
  if (broken) std::swap(model.ropes[0].cosine, model.ropes[0].sine);
  const Errors errors = judge(model, file);
  if (broken) return errors;
  std::printf("# %-12s logits %.2e hidden %.2e loss %.2e gradients %.2e\n", family.c_str(), errors.logits, errors.hidden, errors.loss,
              errors.gradient);
  CHECK_LE(errors.logits, 10 * golden::metadata(file, "f32_error.logits"));
  CHECK_LE(errors.hidden, 10 * golden::metadata(file, "f32_error.logits"));
  CHECK_LE(errors.loss, 10 * std::fmax(golden::metadata(file, "f32_error.loss"), 5e-7));  // the loss is stored in f32: half an ulp near 5
  CHECK_LE(errors.gradient, 10 * golden::metadata(file, "f32_error.grad_relative"));
  return errors;
}
}  // namespace

CASE("llama: plain blocks, own head") { judge_family("llama"); }
CASE("llama3-rope: stretched rotary positions, tied head") { judge_family("llama3-rope"); }
CASE("mistral: sliding window") { judge_family("mistral"); }
CASE("qwen2: biases") { judge_family("qwen2"); }
CASE("qwen3: norms of heads, head_dim not hidden / heads") { judge_family("qwen3"); }

CASE("canary: swapped cosines and sines are found") {
  const Errors errors = judge_family("llama", true);
  CHECK(!(errors.logits <= 1e-3));
  CHECK(!(errors.gradient <= 1e-3));
}

TEST_MAIN()
