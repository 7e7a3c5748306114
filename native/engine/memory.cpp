#include "engine/memory.h"

#include "base/error.h"
#include "model/pair_table.h"

namespace fedlora {

size_t& ModelMemory::of(TensorRole role) {
  switch (role) {
    case TensorRole::embedding:
    case TensorRole::positions:
      return embedding;
    case TensorRole::head:
      return head;
    case TensorRole::linear:
      return linears;
    default:
      return norms;
  }
}

ModelMemory measure(const Weights& weights) {
  ModelMemory memory;
  for (const ModelTensor& tensor : list_tensors(weights.description))
    memory.of(tensor.role) += tensor.is_matrix() ? matrix_of(weights, tensor).bytes() : vector_of(weights, tensor).size() * sizeof(float);
  return memory;
}

MemoryPlan plan_step(const Description& description, size_t weight_bytes, const Backend& backend, const PlanRequest& request) {
  if (request.tokens < 1 || request.supervised < 0 || request.supervised > request.tokens)
    fail(Code::E_ARGUMENT, "a plan for %lld tokens, %lld of them supervised: expected 0 ≤ supervised ≤ tokens and at least one token",
         static_cast<long long>(request.tokens), static_cast<long long>(request.supervised));
  if (request.adapters < 1) fail(Code::E_ARGUMENT, "a plan for %lld adapters", static_cast<long long>(request.adapters));
  if (request.examples < 0) fail(Code::E_ARGUMENT, "a plan for %lld examples", static_cast<long long>(request.examples));
  const AdapterMap adapter(description, request.layers);
  StepShape shape;
  shape.tokens = request.tokens;
  shape.supervised = request.supervised;
  shape.training = true;
  shape.recompute = request.recompute;
  shape.compute = backend.compute();
  for (const AdapterSlot& slot : adapter.slots()) shape.ranks.push_back(slot.rank);
  const StepBuffers buffers = StepBuffers::place(description, shape, nullptr);

  MemoryPlan plan;
  plan.weights = weight_bytes;
  const size_t vectors = request.adamw ? 4 : 2;  // values, gradient, moments
  plan.adapter = static_cast<size_t>(adapter.size() * request.adapters) * sizeof(float) * (vectors + static_cast<size_t>(request.examples));
  PassSize pass{request.tokens, request.supervised, description.vocabulary, description.heads, description.kv_heads, description.head_dim};
  if (!request.residual.empty()) {
    const ResidualMap residual(adapter, request.residual);
    plan.adapter += static_cast<size_t>(residual.size()) * sizeof(float);
    pass.frozen_ranks = most_frozen_ranks(residual, description);
  }
  plan.saved = buffers.saved_bytes;
  const OwnBytes own = backend.needs(pass);
  plan.workspace = buffers.workspace_bytes + own.scratch;
  plan.loss = own.loss;
  return plan;
}

}  // namespace fedlora
