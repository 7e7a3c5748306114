/// Which backend runs a model.
#pragma once
#include <memory>

#include "backend/ops.h"

namespace fedlora {

struct BackendOptions {
  Compute compute = Compute::f32;
  int threads = 1;
};

std::unique_ptr<Backend> open_backend(const BackendOptions& options);

}  // namespace fedlora
