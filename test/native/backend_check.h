/// What the tests of the CPU backend's ops share: activations of either compute mode between sentinels, and one loop over compute modes,
/// instruction sets and thread counts. With 1 thread a result is judged by the book; with 2 and 3 it must be the same bits.
#pragma once
#include <cstring>
#include <memory>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "base/half.h"
#include "book_check.h"
#include "harness.h"
#include "tensor_check.h"

namespace check {

/// `bytes` of memory with a margin of sentinels on both sides. Starts 4 bytes off any vector alignment.
class Guarded {
 public:
  explicit Guarded(size_t bytes) : bytes_(bytes), memory_(bytes + 2 * margin, sentinel) {}
  template <class T = void>
  T* data() {
    return reinterpret_cast<T*>(memory_.data() + margin);
  }
  size_t bytes() const { return bytes_; }
  bool intact() const {
    for (size_t i = 0; i < margin; ++i)
      if (memory_[i] != sentinel || memory_[margin + bytes_ + i] != sentinel) return false;
    return true;
  }
  bool operator==(const Guarded& other) const { return memory_ == other.memory_; }

 private:
  static constexpr size_t margin = 132;
  static constexpr uint8_t sentinel = 0xa5;
  size_t bytes_;
  std::vector<uint8_t> memory_;
};

/// A tensor of f32 or bf16 numbers.
class Numbers {
 public:
  Numbers(bool f32, int64_t count) : f32_(f32), count_(count), memory_(static_cast<size_t>(count) * (f32 ? 4 : 2)) {
    for (int64_t i = 0; i < count; ++i) set(i, NAN);
  }
  Numbers(bool f32, const Tensor& values) : Numbers(f32, static_cast<int64_t>(values.size())) {
    for (int64_t i = 0; i < count_; ++i) set(i, values[static_cast<size_t>(i)]);
  }
  void* data() { return memory_.data(); }
  float* floats() { return memory_.data<float>(); }
  /// Exactly what is stored.
  Tensor values() {
    Tensor all(static_cast<size_t>(count_));
    for (int64_t i = 0; i < count_; ++i)
      all[static_cast<size_t>(i)] = f32_ ? memory_.data<float>()[i] : fedlora::to_f32(memory_.data<fedlora::bf16>()[i]);
    return all;
  }
  bool intact() const { return memory_.intact(); }
  bool operator==(const Numbers& other) const { return memory_ == other.memory_; }
  /// Elements [from, from + other's count) are the same bits as `other`.
  bool holds(int64_t from, Numbers& other) {
    const int64_t size = f32_ ? 4 : 2;
    return std::memcmp(memory_.data<char>() + from * size, other.memory_.data<char>(), other.memory_.bytes()) == 0;
  }

 private:
  void set(int64_t i, double value) {
    if (f32_)
      memory_.data<float>()[i] = static_cast<float>(value);
    else
      memory_.data<fedlora::bf16>()[i] = fedlora::to_bf16(static_cast<float>(value));
  }
  bool f32_;
  int64_t count_;
  Guarded memory_;
};

/// The instruction sets of this machine, weakest first.
inline std::vector<fedlora::Isa> levels() {
  std::vector<fedlora::Isa> all;
  for (int level = 0; level <= static_cast<int>(fedlora::detect_isa()); ++level) all.push_back(static_cast<fedlora::Isa>(level));
  return all;
}

/// One compute mode on one instruction set: `run(backend)` computes the outputs, `judge(outputs)` looks at them.
/// Outputs are a list of Numbers; every one is checked for its sentinels and for equality between 1, 2 and 3 threads.
template <class Run, class Judge>
void each_backend(const Run& run, const Judge& judge) {
  for (fedlora::Compute compute : {fedlora::Compute::f32, fedlora::Compute::bf16})
    for (fedlora::Isa isa : levels()) {
      fedlora::CpuBackend one(compute, 1, isa), two(compute, 2, isa), three(compute, 3, isa);
      CHECK(one.isa() == isa);
      CHECK(one.name() == std::string("cpu-") + fedlora::isa_name(isa));
      const bool f32 = compute == fedlora::Compute::f32;
      std::vector<Numbers> outputs = run(one, f32);
      for (const Numbers& output : outputs) CHECK(output.intact());
      CHECK(run(two, f32) == outputs);
      CHECK(run(three, f32) == outputs);
      const int before = harness::failures();
      judge(outputs, f32);
      if (harness::failures() > before) std::printf("# … in %s on %s\n", f32 ? "f32" : "bf16", fedlora::isa_name(isa));
    }
}

/// The level's own version of the kernel is what runs there.
#define CHECK_OWN_KERNEL(kernel)                                                                                                     \
  for (fedlora::Isa isa : check::levels()) {                                                                                         \
    CHECK(fedlora::own_kernel_table(isa).kernel != nullptr);                                                                         \
    CHECK(fedlora::kernel_table(isa).kernel == fedlora::own_kernel_table(isa).kernel);                                               \
    if (isa != fedlora::Isa::scalar) CHECK(fedlora::kernel_table(isa).kernel != fedlora::kernel_table(fedlora::Isa::scalar).kernel); \
  }

/// The rounding of an output to the compute mode's type, and a little more.
inline double rounding(bool f32, double f32_tolerance = 2e-6) { return f32 ? f32_tolerance : bf16_unit; }

}  // namespace check
