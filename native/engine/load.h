/// From a description to an engine: its weights from a checkpoint, or random.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/open_backend.h"
#include "tensor/stored.h"

namespace fedlora {

struct LoadOptions {
  std::vector<std::string> files;
  Description description;
  std::vector<StoredTensor> stored;  // what a GGUF file calls otherwise
  PackedWeights packed;
  std::optional<Format> quantization;  // of the linear layers; bf16: of the tables, too; none: all as stored
  bool double_quantization = false;
  int block = 64;
  Compute compute = Compute::f32;
  int threads = 1;
  Device device;
};

/// Reads, converts and packs every weight; one source tensor at a time is resident. `progress(done, total)` counts tensors.
/// Missing tensors are listed together (E_MISSING); a wrong shape is E_SHAPE; NaN or infinite weights are E_NONFINITE; what the
/// backend cannot run is E_UNSUPPORTED before a weight is read.
std::shared_ptr<Engine> load_engine(const LoadOptions& options, const std::function<void(int64_t, int64_t)>& progress);
/// The same on a backend of the caller's instead of options.compute, .threads and .device.
std::shared_ptr<Engine> load_engine(const LoadOptions& options, std::unique_ptr<Backend> backend,
                                    const std::function<void(int64_t, int64_t)>& progress);

/// Weight bytes of a model that is not loaded, from its checkpoint's headers. E_UNSUPPORTED when `backend` cannot run it.
size_t plan_weights(const LoadOptions& options, const Backend& backend);

/// A model of random weights of `options.quantization` (none: bf16), for benchmarks; no file is read.
std::shared_ptr<Engine> random_engine(const LoadOptions& options, uint64_t seed);

}  // namespace fedlora
