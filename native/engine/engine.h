/// A loaded model and what runs it. Everything above (sessions, generations, evaluations) shares one engine and takes turns on it.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/profiled.h"
#include "engine/memory.h"
#include "model/transformer.h"

namespace fedlora {

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

/// Weights and what runs them, profiled when FEDLORA_PROFILE asks for it.
std::shared_ptr<Engine> make_engine(std::shared_ptr<const Weights> weights, std::unique_ptr<Backend> backend);

}  // namespace fedlora
