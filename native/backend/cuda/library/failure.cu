#include "backend/cuda/library/failure.h"

#include <cstdarg>
#include <cstdio>

namespace fedlora::cuda {

void fail(Verdict verdict, const char* format, ...) {
  Failure failure{verdict, {}};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(failure.status.text, sizeof failure.status.text, format, arguments);
  va_end(arguments);
  throw failure;
}

void expect(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  const Verdict verdict = error == cudaErrorMemoryAllocation ? Verdict::memory : Verdict::failed;
  fail(verdict, "%s: %s: %s", what, cudaGetErrorName(error), cudaGetErrorString(error));
}

}  // namespace fedlora::cuda
