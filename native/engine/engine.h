/// A loaded model and what runs it. Everything above (sessions, generations, evaluations) shares one engine and takes turns on it.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/profiled.h"
#include "model/transformer.h"

namespace fedlora {

enum class Quantization { none, bf16, int8, nf4, fp4 };

struct LoadOptions {
  std::vector<std::string> files;
  Description description;
  Quantization quantization = Quantization::none;
  bool double_quantization = false;
  int block = 64;
  Compute compute = Compute::f32;
  int threads = 1;
};

/// Bytes by kind.
struct ModelMemory {
  size_t linears = 0, embedding = 0, head = 0, norms = 0, ropes = 0;
  size_t total() const { return linears + embedding + head + norms + ropes; }
};

struct MemoryPlan {
  size_t weights = 0, adapter = 0, saved = 0, workspace = 0, loss = 0;
  size_t total() const { return weights + adapter + saved + workspace + loss; }
};

struct PlanRequest {
  int64_t tokens = 0, rows = 0, longest_row = 0, supervised = 0;
  Recompute recompute = Recompute::none;
  bool adamw = true;
  int64_t adapters = 1;  // in training at the same time
  std::vector<AdapterLayer> layers;
};

struct Engine {
  std::unique_ptr<Transformer> transformer;
  int threads = 1;
  ModelMemory memory;
  /// Tensors of the checkpoint that the description has no use for.
  std::vector<std::string> unused;
  /// Set when FEDLORA_PROFILE is not empty and not 0; owned by the transformer.
  const Profiled* profile = nullptr;
  /// Called by a step between its passes; may run other passes of this engine meanwhile, which change nothing about the step's. Or empty.
  std::function<void()> between_passes;

  const Description& description() const { return transformer->description(); }
};

/// Reads, converts and packs every weight; one source tensor at a time is resident. `progress(done, total)` counts tensors.
/// Missing tensors are listed together (E_MISSING); a wrong shape is E_SHAPE; NaN or infinite weights are E_NONFINITE.
std::shared_ptr<Engine> load_engine(const LoadOptions& options, const std::function<void(int64_t, int64_t)>& progress);

/// A model of random weights of `options.quantization` ('none': bf16), for benchmarks; no file is read.
std::shared_ptr<Engine> random_engine(const LoadOptions& options, uint64_t seed);

/// What runs these weights: the backend of options.compute and options.threads.
std::shared_ptr<Engine> make_engine(const LoadOptions& options, std::shared_ptr<const Weights> weights);

ModelMemory measure(const Weights& weights);

/// Bytes of a training step: weights as given, the rest from the same layout code that places the buffers.
MemoryPlan plan_step(const Description& description, size_t weight_bytes, Compute compute, int threads, const PlanRequest& request);
/// Weight bytes of a model that is not loaded, from its checkpoint's headers.
size_t plan_weights(const LoadOptions& options);

}  // namespace fedlora
