/// One device at work for one engine: its stream, what is kept on it, and whether it still lives.
#pragma once
#include <atomic>
#include <string>

#include "backend/cuda/abi.h"
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/queue.h"
#include "backend/cuda/library/failure.h"
#include "backend/cuda/library/staging.h"
#include "backend/cuda/library/workspace.h"

namespace fedlora::cuda {

/// The stream of a context; made first and destroyed last.
struct Stream {
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  cudaStream_t stream = nullptr;
};

struct Context {
  /// Fails as describe() does.
  explicit Context(const OpenRequest& request);
  ~Context();
  Context(const Context&) = delete;

  /// The element of activations.
  Element element() const { return compute == Compute::bf16 ? Element::bf16 : Element::f32; }
  /// Before and after work: the first refuses a dead context, the second throws what a launch said, or with FEDLORA_CUDA_SYNC=1 what it
  /// did.
  void begin() const;
  void end() const;
  /// After a failure: is the device still there?
  void examine();

  int device;
  Compute compute;
  int capability;
  Stream own;
  Queue queue;
  Staging staging;
  Workspace workspace;
  int64_t largest_slab = 0;        // bytes of the largest matrix that is decoded in each pass
  bool synchronous;                // FEDLORA_CUDA_SYNC
  std::atomic<bool> dead = false;  // a fault that a device does not recover from
};

/// `body` on the device of the context; `what()` is the text that names it in a failure.
template <class Body, class What>
Verdict at_work(Context* context, Status* status, const Body& body, const What& what) noexcept {
  return guarded(status, [&] {
    try {
      context->begin();
      body();
      context->end();
    } catch (const Failure& failure) {
      context->examine();
      fail(failure.verdict, "%s: %s%s", std::string(what()).c_str(), failure.status.text,
           context->dead ? "; the device cannot go on: dispose of the model and load it again" : "");
    }
  });
}

}  // namespace fedlora::cuda
