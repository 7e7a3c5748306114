#include "backend/cuda/cuda_backend.h"

namespace fedlora::cuda {

namespace {

/// The first operator that a library has not, or null.
const char* missing_operator(const Operators& operators) {
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

const std::shared_ptr<Memory>& CudaBackend::memory() const { fail(Code::E_UNSUPPORTED, "the CUDA backend has no buffers"); }

void CudaBackend::adopt(Matrix&) { fail(Code::E_UNSUPPORTED, "the CUDA backend takes no weights"); }

std::string CudaBackend::lacks(const Need& need) const {
  if (const char* missing = missing_operator(connection_->api().operators)) return std::string("the operator ") + missing;
  if (need.embedding != Format::f32 && need.embedding != Format::f16 && need.embedding != Format::bf16)
    return std::string("an embedding in ") + format_name(need.embedding);
  return {};
}

OwnBytes CudaBackend::needs(const PassSize& pass) const {
  OwnBytes bytes;
  connection_->api().needs(connection_->context(), &pass, &bytes);
  return bytes;
}

size_t CudaBackend::scratch_bytes() const { return static_cast<size_t>(connection_->api().own_bytes(connection_->context())); }

std::unique_ptr<Backend> make_cuda_backend(const Api& api, int device, Compute compute, int threads) {
  return std::make_unique<CudaBackend>(std::make_unique<Connection>(api, OpenRequest{device, compute}), compute, threads);
}

}  // namespace fedlora::cuda
