/// What a model occupies, and what a training step over it will.
#pragma once
#include <cstddef>
#include <vector>

#include "model/adapter.h"
#include "model/step_buffers.h"
#include "model/tensor_list.h"

namespace fedlora {

/// Bytes by kind. Biases count as norms.
struct ModelMemory {
  size_t linears = 0, embedding = 0, head = 0, norms = 0, ropes = 0;
  size_t total() const { return linears + embedding + head + norms + ropes; }
  size_t& of(TensorRole role);
};

ModelMemory measure(const Weights& weights);

struct MemoryPlan {
  size_t weights = 0, adapter = 0, saved = 0, workspace = 0, loss = 0;
  size_t total() const { return weights + adapter + saved + workspace + loss; }
};

struct PlanRequest {
  int64_t tokens = 0, rows = 0, longest_row = 0, supervised = 0;
  Recompute recompute = Recompute::none;
  bool adamw = true;
  int64_t adapters = 1;  // in training at the same time
  int64_t examples = 0;  // rows of a private step's largest micro-batch, which have a gradient each; 0: not private
  std::vector<AdapterLayer> layers;
  std::vector<int> residual;  // ranks of a residual that all these adapters share, one a layer; empty: none
};

/// Bytes of a training step: weights as given, buffers from the code that lays them out, the rest from the backend that will run it.
MemoryPlan plan_step(const Description& description, size_t weight_bytes, const Backend& backend, const PlanRequest& request);

}  // namespace fedlora
