/// Which backend runs a model.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/ops.h"

namespace fedlora {

/// Where a model runs.
struct Device {
  std::optional<int> cuda;                  // its number; none: the CPU
  std::vector<std::string> cuda_libraries;  // files that may be the CUDA library, the first that is there counts
};

struct BackendOptions {
  Compute compute = Compute::f32;
  int threads = 1;
  Device device{};
};

/// E_ARGUMENT when `threads` is out of range; E_CUDA_LIBRARY and what else keeps a CUDA device from being used: there is no other in its
/// place.
std::unique_ptr<Backend> open_backend(const BackendOptions& options);

/// E_UNSUPPORTED, naming what the backend cannot run of a model of this family.
void check_supported(const Backend& backend, const Need& need, const std::string& family);

}  // namespace fedlora
