/// The CUDA backend over the library that is linked in, on the emulated device. An operator that the library has not is the CPU's, over the
/// same memory (opened to the host for that time), and its name is noted.
#pragma once
#include <cstring>
#include <set>

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/forwarding.h"
#include "emulator/device_memory.h"

extern "C" fedlora::cuda::Verdict fedlora_cuda_v1(fedlora::cuda::Api* api);

namespace fedlora {

inline const cuda::Api& linked_library() {
  static cuda::Api table;
  static const cuda::Api* filled = cuda::table_of(fedlora_cuda_v1, table, "the linked library");
  return *filled;
}

/// Operators that the CPU ran in the device's place.
inline std::set<std::string>& replaced_operators() {
  static std::set<std::string> names;
  return names;
}

class EmulatedBase : public ForwardingBase {
 public:
  explicit EmulatedBase(Compute compute)
      : ForwardingBase(cuda::make_cuda_backend(linked_library(), 0, compute, 1)), cpu_(make_cpu_backend(compute, 1)) {}
  std::string lacks(const Need&) const override { return {}; }
  /// The host's bytes stay, for the CPU.
  void adopt(Matrix& matrix) override {
    Matrix twin;
    twin.format = matrix.format;
    twin.N = matrix.N;
    twin.K = matrix.K;
    twin.block = matrix.block;
    twin.nested_offset = matrix.nested_offset;
    twin.data = copy_of(matrix.data);
    twin.absmax = copy_of(matrix.absmax);
    twin.nested_absmax = copy_of(matrix.nested_absmax);
    twin.nested_scale = copy_of(matrix.nested_scale);
    next().adopt(twin);
    matrix.resident = twin.resident;
  }

 protected:
  Backend& instead(const char* name) {
    replaced_operators().insert(name);
    return *cpu_;
  }

 private:
  template <class T>
  static AlignedBuffer<T> copy_of(const AlignedBuffer<T>& from) {
    AlignedBuffer<T> to(from.size());
    if (from.size() > 0) std::memcpy(to.data(), from.data(), from.bytes());
    return to;
  }
  std::unique_ptr<Backend> cpu_;
};

namespace emulated {
#define OP(Result, name, arguments)                                                        \
  template <class Below, class Signature>                                                  \
  class Signed_##name;                                                                     \
  template <class Below, class... Arguments>                                               \
  class Signed_##name<Below, Result(Arguments...)> : public Below {                        \
   public:                                                                                 \
    using Below::Below;                                                                    \
    Result name(Arguments... values) override {                                            \
      if (linked_library().operators.name != nullptr) return this->next().name(values...); \
      const emulator::DeviceAccess access;                                                 \
      return this->instead(#name).name(values...);                                         \
    }                                                                                      \
  };                                                                                       \
  template <class Below>                                                                   \
  using Either_##name = Signed_##name<Below, Result arguments>;
#include "backend/ops.def"
#undef OP
}  // namespace emulated

using EmulatedBackend = forwarding::Stack<EmulatedBase
#define OP(Result, name, arguments) , emulated::Either_##name
#include "backend/ops.def"
#undef OP
                                          >::type;

}  // namespace fedlora
