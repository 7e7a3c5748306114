#include "engine/open_backend.h"

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda_backend.h"
#include "base/error.h"

namespace fedlora {

namespace {

std::unique_ptr<Backend> open_cuda(const BackendOptions& options) {
  const cuda::Library library = cuda::load_library(options.device.cuda_libraries);
  if (library.api == nullptr) throw Error(library.code, library.problem);
  return cuda::make_cuda_backend(*library.api, *options.device.cuda, options.compute, options.threads);
}

}  // namespace

std::unique_ptr<Backend> open_backend(const BackendOptions& options) {
  if (options.threads < 1 || options.threads > 1024) fail(Code::E_ARGUMENT, "threads is %d, expected 1 to 1024", options.threads);
  if (options.device.cuda) return open_cuda(options);
  return make_cpu_backend(options.compute, options.threads);
}

void check_supported(const Backend& backend, const Need& need, const std::string& family) {
  const std::string lack = backend.lacks(need);
  if (!lack.empty())
    fail(Code::E_UNSUPPORTED, "model family '%s' needs %s, which the backend %s does not run. %s", family.c_str(), lack.c_str(),
         backend.name().c_str(), need.traits.empty() ? "Choose another quantization, e.g. bf16." : "Choose another device, e.g. cpu.");
}

}  // namespace fedlora
