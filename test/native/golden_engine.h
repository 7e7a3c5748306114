/// Engines of the golden checkpoints over any backend.
#pragma once
#include "engine/load.h"
#include "golden_model.h"

namespace fedlora {

/// The family's checkpoint as `description` says it. Without `backend`: over the CPU backend of `threads`.
inline std::shared_ptr<Engine> golden_engine(const std::string& family, const Description& description,
                                             std::unique_ptr<Backend> backend = nullptr, int threads = 2) {
  LoadOptions options;
  options.files = {golden_path(family, "model.safetensors")};
  options.description = description;
  options.threads = threads;
  return backend == nullptr ? load_engine(options, {}) : load_engine(options, std::move(backend), {});
}

}  // namespace fedlora
