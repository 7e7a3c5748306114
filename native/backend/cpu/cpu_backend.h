/// The CPU backend: each op in its own file (<op>.cpp) checks nothing, splits the work over the thread team and calls leaf kernels.
/// Work is split over outputs, never over a sum, so that no result depends on the number of threads.
#pragma once
#include <array>
#include <functional>

#include "backend/cpu/kernels/kernel_table.h"
#include "backend/cpu/scratch.h"
#include "backend/ops.h"
#include "base/thread_pool.h"

namespace fedlora {

/// Bytes that linear_cross_entropy holds in training for M rows and a vocabulary of V.
size_t linear_cross_entropy_bytes(Compute compute, int64_t M, int64_t V);

class CpuBackend final : public Backend {
 public:
  /// `isa` must be one that this machine supports.
  CpuBackend(Compute compute, int threads, Isa isa);

  std::string name() const override;
  Compute compute() const override { return compute_; }
  int threads() const override { return pool_.threads(); }
  const std::shared_ptr<Memory>& memory() const override { return host_memory(); }
  void adopt(Matrix&) override {}  // kernels multiply the packed bytes
  Isa isa() const { return isa_; }

#define OP(Result, name, arguments) Result name arguments override;
#include "backend/ops.def"
#undef OP
  std::string lacks(const Need& need) const override;
  OwnBytes needs(const PassSize& pass) const override;
  size_t scratch_bytes() const override;

  /// out[m,n] = scale × x[m,:]·W[n,:].   x Activation [M,K], out f32 [M,N]. Below, T is the activations' element.
  void matmul_forward(int64_t M, ConstActivation x, const Matrix& W, float scale, float* out);
  /// The same by blocks of `block` ≤ 128 columns, each handed to `take` on the thread that made it: its number, first column, width, and
  /// out f32 [M, width], which lives as long as the call. M·block floats a thread in Slot::logits_block must be reserved.
  template <class T>
  void matmul_blocks(int64_t M, const T* x, const Matrix& W, int64_t block, float scale,
                     const std::function<void(int64_t index, int64_t begin, int64_t columns, float* out)>& take);
  /// d_x[m,:] = scale × scales[m] × Σ_n d_y[m,n]·W[n,:].   d_y [M,N], rows d_y_stride apart; d_x [M,K].
  template <class T>
  void matmul_backward(int64_t M, const T* d_y, int64_t d_y_stride, const Matrix& W, float scale, std::span<const float> scales, T* d_x);

 private:
  /// Calls body with the kernels over the element type T of this compute mode's activations.
  template <class Body>
  void typed(const Body& body) const {
    if (compute_ == Compute::f32)
      body(of<float>(kernels_));
    else
      body(of<bf16>(kernels_));
  }
  /// x [K] as the kernels for one row read it: f32, and if there are `codes` also in their order. In Slot::rows where it is not x itself.
  struct DecodeRow {
    const float *row, *ordered;
  };
  DecodeRow decode_row(int64_t K, ConstActivation x, bool codes);
  /// Purposes of scratch memory; each op uses its own, so that ops may call one another.
  enum class Slot { panel, d_h, dropout, attention, attention_packed, logits, logits_block, rows, count };
  Scratch& slot(Slot which) { return scratch_[static_cast<size_t>(which)]; }

  Compute compute_;
  Isa isa_;
  const KernelTable& kernels_;
  ThreadPool pool_;
  std::array<Scratch, static_cast<size_t>(Slot::count)> scratch_;
};

}  // namespace fedlora
