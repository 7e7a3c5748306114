#include "engine/open_backend.h"

#include "backend/cpu/cpu.h"

namespace fedlora {

std::unique_ptr<Backend> open_backend(const BackendOptions& options) { return make_cpu_backend(options.compute, options.threads); }

}  // namespace fedlora
