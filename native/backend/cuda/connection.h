/// A context of the CUDA library as the addon holds it: calls become C++, verdicts become errors with their code.
#pragma once
#include "backend/cuda/load_library.h"
#include "backend/cuda/pack.h"

namespace fedlora::cuda {

class Connection {
 public:
  /// Throws what keeps the device from being used.
  Connection(const Api& api, const OpenRequest& request);
  ~Connection() { api_.close(context_); }
  Connection(const Connection&) = delete;

  const Api& api() const { return api_; }
  Context* context() const { return context_; }
  const DeviceInfo& device() const { return device_; }

  /// A function of the table that takes a context and a status first.
  template <class... Arguments>
  void call(Verdict (*function)(Context*, Status*, Arguments...), std::type_identity_t<Arguments>... arguments) const {
    Status status;
    check(function(context_, &status, arguments...), status);
  }

 private:
  const Api& api_;
  DeviceInfo device_{};
  Context* context_ = nullptr;
};

}  // namespace fedlora::cuda
