/// The CUDA backend over the library that is linked in, on the emulated device.
#pragma once
#include "backend/cuda/cuda_backend.h"

extern "C" fedlora::cuda::Verdict fedlora_cuda_v1(fedlora::cuda::Api* api);

namespace fedlora {

inline const cuda::Api& linked_library() {
  static cuda::Api table;
  static const cuda::Api* filled = cuda::table_of(fedlora_cuda_v1, table, "the linked library");
  return *filled;
}

inline std::unique_ptr<Backend> emulated_backend(Compute compute) { return cuda::make_cuda_backend(linked_library(), 0, compute, 1); }

}  // namespace fedlora
