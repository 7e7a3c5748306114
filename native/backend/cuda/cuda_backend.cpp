#include "backend/cuda/cuda_backend.h"

#include "backend/cuda/heuristics/attention_tiles.h"
#include "quant/nested.h"

namespace fedlora::cuda {

namespace {

/// The first operator that a library has not, or null. Those that only some families ask for are refused by their trait.
const char* missing_operator(const Operators& operators) {
#define FURTHER_OP(Result, name, arguments)
#define OP(Result, name, arguments) \
  if (operators.name == nullptr) return #name;
#include "backend/ops.def"
#undef OP
  return nullptr;
}

}  // namespace

std::string CudaBackend::name() const {
  const int capability = connection_->device().capability;
  return "cuda-sm" + std::to_string(capability);
}

void CudaBackend::adopt(Matrix& matrix) {
  std::vector<float> decoded(matrix.nested() ? static_cast<size_t>(matrix.blocks()) : 0);
  for (size_t block = 0; block < decoded.size(); ++block) decoded[block] = block_absmax(matrix, static_cast<int64_t>(block));
  const std::span<const float> absmax =
      matrix.nested() ? std::span<const float>(decoded) : std::span(matrix.absmax.data(), matrix.absmax.size());
  const HostMatrix host{matrix.format,
                        matrix.block,
                        matrix.N,
                        matrix.K,
                        {matrix.data.data(), static_cast<int64_t>(matrix.data.size())},
                        {absmax.data(), static_cast<int64_t>(absmax.size())}};
  const DeviceMatrix* device = nullptr;
  connection_->call(connection_->api().adopt, &host, decoded_ ? 1 : 0, &device);
  matrix.resident = std::shared_ptr<const void>(device, [connection = connection_](const void* held) {
    connection->api().drop(connection->context(), static_cast<const DeviceMatrix*>(held));
  });
  matrix.resident_bytes = static_cast<size_t>(connection_->api().matrix_bytes(device));
  matrix.data = {};
  matrix.absmax = {};
  matrix.nested_absmax = {};
  matrix.nested_scale = {};
}

std::string CudaBackend::lacks(const Need& need) const {
  if (const char* missing = missing_operator(connection_->api().operators)) return std::string("the operator ") + missing;
  if (need.embedding != Format::f32 && need.embedding != Format::f16 && need.embedding != Format::bf16)
    return std::string("an embedding in ") + format_name(need.embedding);
  if (!need.traits.empty()) return need.traits.front();
  if (need.head_dim > most_head_dim) return "a head_dim of " + std::to_string(need.head_dim);
  return {};
}

OwnBytes CudaBackend::needs(const PassSize& pass) const {
  OwnBytes bytes;
  connection_->api().needs(connection_->context(), &pass, &bytes);
  return bytes;
}

size_t CudaBackend::scratch_bytes() const { return static_cast<size_t>(connection_->api().own_bytes(connection_->context())); }

std::unique_ptr<Backend> make_cuda_backend(const Api& api, int device, Compute compute, int threads) {
  return std::make_unique<CudaBackend>(std::make_shared<Connection>(api, OpenRequest{device, compute}), compute, threads);
}

}  // namespace fedlora::cuda
