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

class CpuBackend final : public Backend {
 public:
  /// `isa` must be one that this machine supports.
  CpuBackend(Compute compute, int threads, Isa isa);

  std::string name() const override;
  Compute compute() const override { return compute_; }
  int threads() const override { return pool_.threads(); }
  Isa isa() const { return isa_; }

  void embedding_forward(std::span<const int32_t> ids, const Matrix& table, float multiplier, float* x) override;
  void rms_norm_forward(int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, float eps, Activation y, float* rstd,
                        Activation x_saved) override;
  void rms_norm_rebuild(int64_t M, int64_t K, ConstActivation x_saved, const float* rstd, const float* weight, Activation y) override;
  void rms_norm_backward(int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* rstd, const float* weight,
                         float* d_x, Activation d_x_copy) override;
  void row_norm_forward(int64_t rows, int64_t width, ConstActivation x, const float* weight, float eps, Activation y, float* rstd) override;
  void row_norm_backward(int64_t rows, int64_t width, ConstActivation d_y, ConstActivation x, const float* rstd, const float* weight,
                         Activation d_x) override;
  void lora_linear_forward(int64_t M, ConstActivation x, std::span<LinearTarget> targets, std::span<const Segment> segments) override;
  void lora_linear_backward(int64_t M, ConstActivation x, std::span<const LinearTarget> targets, std::span<const Segment> segments,
                            Activation d_x) override;
  void lora_linear_decode(ConstActivation x, std::span<const LinearTarget> targets, std::span<const LoraPair> pairs) override;
  void rope(int64_t M, int heads, int head_dim, std::span<const int32_t> positions, const float* cosine, const float* sine, bool inverse,
            Activation x) override;
  void attention_forward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                         ConstActivation v, Activation o, float* lse) override;
  void attention_backward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                          ConstActivation v, ConstActivation o, const float* lse, ConstActivation d_o, Activation d_q, Activation d_k,
                          Activation d_v) override;
  void attention_decode(const AttentionShape& shape, int64_t T, ConstActivation q, ConstActivation keys, ConstActivation values,
                        Activation o) override;
  void glu_forward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, Activation h) override;
  void glu_backward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, ConstActivation d_h, Activation d_gate,
                    Activation d_up, Activation h) override;
  void linear_cross_entropy(int64_t M, ConstActivation x, const Matrix& head, float divider, std::span<const int32_t> targets,
                            std::span<const float> grad_scales, float* losses, uint8_t* correct, Activation d_x) override;
  void head_logits(int64_t M, ConstActivation x, const Matrix& head, float divider, float* logits) override;
  void head_logits_decode(ConstActivation x, const Matrix& head, float divider, float* logits) override;
  void gather_rows(int64_t K, std::span<const int32_t> rows, ConstActivation x, Activation out) override;
  void scatter_rows(int64_t M, int64_t K, std::span<const int32_t> rows, ConstActivation in, Activation x) override;
  double sum_of_squares(std::span<const float> x) override;
  void adamw(const AdamWStep& step, std::span<float> parameter, std::span<float> gradient, std::span<float> moment1,
             std::span<float> moment2) override;
  void sgd(float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, std::span<float> parameter,
           std::span<float> gradient, std::span<float> momentum_buffer) override;
  size_t scratch_bytes() const override;

  /// out[m,n] = scale × x[m,:]·W[n,:].   x Activation [M,K], out f32 [M,N].
  void matmul_forward(int64_t M, ConstActivation x, const Matrix& W, float scale, float* out);
  /// The same by blocks of `block` ≤ 128 columns, each handed to `take` on the thread that made it: its number, first column, width, and
  /// out f32 [M, width], which lives as long as the call. M·block floats a thread in Slot::logits_block must be reserved.
  void matmul_blocks(int64_t M, ConstActivation x, const Matrix& W, int64_t block, float scale,
                     const std::function<void(int64_t index, int64_t begin, int64_t columns, const float* out)>& take);
  /// d_x[m,:] = scale × scales[m] × Σ_n d_y[m,n]·W[n,:].   d_y Activation [M,N], rows d_y_stride apart; d_x Activation [M,K].
  void matmul_backward(int64_t M, ConstActivation d_y, int64_t d_y_stride, const Matrix& W, float scale, std::span<const float> scales,
                       Activation d_x);

 private:
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
