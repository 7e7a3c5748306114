/// Which backend runs a model.
#pragma once
#include <memory>

#include "backend/ops.h"

namespace fedlora {

struct BackendOptions {
  Compute compute = Compute::f32;
  int threads = 1;
};

/// E_ARGUMENT when `threads` is out of range.
std::unique_ptr<Backend> open_backend(const BackendOptions& options);

/// E_UNSUPPORTED, naming what the backend cannot run of a model of this family.
void check_supported(const Backend& backend, const Need& need, const std::string& family);

}  // namespace fedlora
