/// Failures inside the library: thrown where they are met, turned into a verdict and a text before they would cross the border.
#pragma once
#include <cuda_runtime.h>

#include <cstdio>
#include <exception>
#include <new>

#include "backend/cuda/abi.h"

namespace fedlora::cuda {

struct Failure {
  Verdict verdict;
  Status status;
};

[[noreturn]] void fail(Verdict verdict, const char* format, ...) __attribute__((format(printf, 2, 3)));

/// Throws when a CUDA call did not succeed: "<what>: cudaErrorName: its words". E_MEMORY's verdict for a failed allocation.
void expect(cudaError_t error, const char* what);

/// Runs `body`; nothing leaves it but a verdict.
template <class Body>
Verdict guarded(Status* status, const Body& body) noexcept {
  status->text[0] = 0;
  try {
    body();
    return Verdict::ok;
  } catch (const Failure& failure) {
    *status = failure.status;
    return failure.verdict;
  } catch (const std::bad_alloc&) {
    *status = Status{"memory of the host is exhausted"};
    return Verdict::memory;
  } catch (const std::exception& error) {  // a tensor map that the driver refuses
    std::snprintf(status->text, sizeof status->text, "%s", error.what());
    return Verdict::failed;
  }
}

}  // namespace fedlora::cuda
