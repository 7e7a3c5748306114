// Whole models of two layers on the emulated device beside the CPU backend: five training steps, evaluation, generation; and what a failure
// leaves behind.
#include "cuda_check.h"

#include "emulated_backend.h"
#include "engine/generation.h"
#include "golden_engine.h"
#include "training/session.h"

using namespace fedlora;

namespace {

struct Variant {
  const char* family;
  std::optional<Format> quantization;
  bool double_quantization;
  Compute compute;
  Recompute recompute;
};

std::shared_ptr<Engine> engine_of(const Variant& variant, bool device) {
  LoadOptions options;
  options.files = {golden_path(variant.family, "model.safetensors")};
  options.description = golden_description(variant.family);
  options.quantization = variant.quantization;
  options.double_quantization = variant.double_quantization;
  options.compute = variant.compute;
  if (!device) return load_engine(options, {});
  return load_engine(options, emulated_backend(variant.compute), {});
}

/// Every linear layer adapted, with the golden values scaled; `rank` 8 as they are.
std::shared_ptr<Adapter> adapter_of(const Engine& engine, const Golden& golden, float dropout, float scale) {
  std::vector<AdapterLayer> layers;
  for (const ModelTensor& linear : list_linears(golden.description)) layers.push_back({linear.module, 8, 2.0f, dropout});
  auto adapter = std::make_shared<Adapter>(AdapterMap(golden.description, layers), engine.transformer->backend().memory());
  const Adapter wanted = golden.adapter();
  const HostView<float> golden_values(wanted.values);
  std::vector<float> values(golden_values.span().begin(), golden_values.span().end());
  for (float& value : values) value *= scale;
  adapter->write(values);
  return adapter;
}

/// Rows [first, first + count) of the golden batch, packed.
Batch rows_of(const Golden& golden, size_t first, size_t count) {
  size_t begin = 0, tokens = 0;
  for (size_t row = 0; row < first; ++row) begin += static_cast<size_t>(golden.lengths[row]);
  for (size_t row = first; row < first + count; ++row) tokens += static_cast<size_t>(golden.lengths[row]);
  return make_batch(golden.description, std::span(golden.ids).subspan(begin, tokens), std::span(golden.labels).subspan(begin, tokens),
                    std::span(golden.lengths).subspan(first, count));
}

struct Run {
  std::vector<double> losses, norms;  // of five steps of two sessions that share passes
  double evaluation = 0;
  std::vector<int32_t> tokens;
  std::vector<float> adapter;
};

Run run(const Variant& variant, bool device) {
  const Golden golden(variant.family);
  const std::shared_ptr<Engine> engine = engine_of(variant, device);
  const auto first = adapter_of(*engine, golden, 0.1f, 1), second = adapter_of(*engine, golden, 0, 0.5f);
  Session one(engine, first, {.weight_decay = 0.01, .max_grad_norm = 1, .dropout_seed = 5, .recompute = variant.recompute});
  Session other(engine, second, {.optimizer = Optimizer::sgd, .momentum = 0.9, .recompute = variant.recompute});
  const Batch batches[] = {rows_of(golden, 0, golden.lengths.size()), rows_of(golden, 0, 1)};
  Run run;
  for (int step = 0; step < 5; ++step) {
    const SessionStep steps[] = {{&one, std::span(batches).first(1), 1e-2}, {&other, batches, 1e-2}};
    for (const SessionOutcome& outcome : step_together(steps)) {
      if (outcome.error) throw *outcome.error;
      run.losses.push_back(outcome.result.loss);
      run.norms.push_back(outcome.result.grad_norm);
    }
  }
  const AdapterSegment segment{0, batches[0].tokens(), first.get()};
  run.evaluation = engine->transformer->evaluate(batches[0], {&segment, 1}).loss;
  GenerationOptions options;
  options.prompt.assign(golden.ids.begin(), golden.ids.begin() + 5);
  options.max_tokens = 6;
  Generation generation(engine->description(), options);
  run.tokens = generation.next(*engine->transformer, first.get(), options.max_tokens);
  const HostView<float> values(first->values);
  run.adapter.assign(values.span().begin(), values.span().end());
  return run;
}

/// Both backends sum in orders of their own. f32: roundings alone. bf16: the CPU's own runs differ so much from f32 ones.
double tolerance(Compute compute) { return compute == Compute::f32 ? 1e-5 : 2e-2; }

void compare(const Variant& variant) {
  const Run want = run(variant, false), got = run(variant, true);
  const double bound = tolerance(variant.compute);
  for (size_t i = 0; i < want.losses.size(); ++i) {
    CHECK_LE(std::fabs(got.losses[i] / want.losses[i] - 1), bound);
    CHECK_LE(std::fabs(got.norms[i] / want.norms[i] - 1), 10 * bound);
  }
  CHECK_LE(std::fabs(got.evaluation / want.evaluation - 1), bound);
  CHECK(got.tokens == want.tokens);
  CHECK(want.losses[8] < want.losses[0]);
}

}  // namespace

CASE("llama, f32, plain weights") { compare({"llama", std::nullopt, false, Compute::f32, Recompute::none}); }
CASE("qwen2: biases; nf4 with nested scales; gate and up again in backward") {
  compare({"qwen2", Format::nf4, true, Compute::f32, Recompute::gate_up});
}
CASE("qwen3: norms of heads, tied head; everything again in backward") {
  compare({"qwen3", Format::fp4, false, Compute::f32, Recompute::all});
}
CASE("mistral: a window; int8; bf16") { compare({"mistral", Format::int8, false, Compute::bf16, Recompute::none}); }
CASE("llama, bf16, nf4; everything again in backward") { compare({"llama", Format::nf4, false, Compute::bf16, Recompute::all}); }

#if defined(FEDLORA_EMULATED)  // faults that only an emulated device makes on demand
CASE("weights that do not fit are refused before one is read; a device that has room loads them") {
  const Variant variant{"llama", std::nullopt, false, Compute::f32, Recompute::none};
  emulator::options.memory = 100000;
  try {
    engine_of(variant, true);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_MEMORY && std::strstr(error.what(), "the weights take") != nullptr);
  }
  emulator::options.memory = size_t{8} << 30;
  CHECK(engine_of(variant, true) != nullptr);
}

CASE("an allocation that fails in the middle of a step: E_MEMORY, and the same model goes on to the same result") {
  const Variant variant{"llama", std::nullopt, false, Compute::f32, Recompute::none};
  const Golden golden(variant.family);
  const auto losses = [&](int failing) {
    const std::shared_ptr<Engine> engine = engine_of(variant, true);
    const auto adapter = adapter_of(*engine, golden, 0, 1);
    Session session(engine, adapter, {});
    const Batch batch = rows_of(golden, 0, golden.lengths.size());
    int refused = 0;
    std::vector<double> losses;
    for (int step = 0; step < 2; ++step) {
      emulator::options.failing_allocation = failing;
      try {
        losses.push_back(session.step({&batch, 1}, 1e-2).loss);
      } catch (const Error& error) {
        CHECK(error.code() == Code::E_MEMORY && std::strstr(error.what(), "GB") != nullptr);
        ++refused;
        emulator::options.failing_allocation = 0;
        losses.push_back(session.step({&batch, 1}, 1e-2).loss);
      }
      emulator::options.failing_allocation = 0;
    }
    CHECK(refused == (failing > 0 ? 1 : 0));
    return losses;
  };
  CHECK(losses(1) == losses(0));
}

CASE("a launch that fails in the middle of a step: E_CUDA with the operator and its shapes, and the model goes on") {
  const Variant variant{"llama", std::nullopt, false, Compute::f32, Recompute::none};
  const Golden golden(variant.family);
  const std::shared_ptr<Engine> engine = engine_of(variant, true);
  const auto adapter = adapter_of(*engine, golden, 0, 1);
  Session session(engine, adapter, {});
  const Batch batch = rows_of(golden, 0, 1);
  emulator::options.failing_launch = 2;  // the first is the embedding's
  try {
    session.step({&batch, 1}, 1e-2);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_CUDA);
    CHECK(std::strstr(error.what(), "rms_norm_forward(M ") != nullptr && std::strstr(error.what(), "cudaErrorLaunchFailure") != nullptr);
  }
  emulator::options.failing_launch = 0;
  CHECK(std::isfinite(session.step({&batch, 1}, 1e-2).loss));
}
#endif

CASE("the library has every operator; one without is refused by the operator's name") {
  CHECK(emulated_backend(Compute::f32)->lacks({}) == "");
  cuda::Api without = linked_library();
  without.operators.attention_backward = nullptr;
  CHECK(cuda::make_cuda_backend(without, 0, Compute::f32, 1)->lacks({}) == "the operator attention_backward");
}

CUDA_TEST_MAIN()
