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
  std::shared_ptr<Engine> engine = load_engine(options, {});
  if (backend == nullptr) return engine;
  auto weights = std::make_shared<Weights>();
  std::swap(*weights, const_cast<Weights&>(engine->transformer->weights()));
  engine->transformer = std::make_unique<Transformer>(weights, std::move(backend));
  return engine;
}

}  // namespace fedlora
