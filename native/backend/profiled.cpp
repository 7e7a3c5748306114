// The profiling decorator: one line an operator.
#include "backend/profiled.h"

#include <chrono>
#include <mutex>

namespace fedlora {

namespace {

class ProfiledBackend final : public Profiled {
 public:
  explicit ProfiledBackend(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}
  std::string name() const override { return backend_->name(); }
  Compute compute() const override { return backend_->compute(); }
  int threads() const override { return backend_->threads(); }
  size_t scratch_bytes() const override { return backend_->scratch_bytes(); }
  std::vector<ProfileEntry> entries() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return entries_;
  }

  void embedding_forward(std::span<const int32_t> ids, const Matrix& table, float multiplier, float* x) override {
    const Timer timer(*this, "embedding_forward");
    backend_->embedding_forward(ids, table, multiplier, x);
  }
  void rms_norm_forward(int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, float eps, Activation y, float* rstd,
                        Activation x_saved) override {
    const Timer timer(*this, "rms_norm_forward");
    backend_->rms_norm_forward(M, K, x, delta, weight, eps, y, rstd, x_saved);
  }
  void rms_norm_rebuild(int64_t M, int64_t K, ConstActivation x_saved, const float* rstd, const float* weight, Activation y) override {
    const Timer timer(*this, "rms_norm_rebuild");
    backend_->rms_norm_rebuild(M, K, x_saved, rstd, weight, y);
  }
  void rms_norm_backward(int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* rstd, const float* weight,
                         float* d_x, Activation d_x_copy) override {
    const Timer timer(*this, "rms_norm_backward");
    backend_->rms_norm_backward(M, K, d_y, x_saved, rstd, weight, d_x, d_x_copy);
  }
  void row_norm_forward(int64_t rows, int64_t width, ConstActivation x, const float* weight, float eps, Activation y,
                        float* rstd) override {
    const Timer timer(*this, "row_norm_forward");
    backend_->row_norm_forward(rows, width, x, weight, eps, y, rstd);
  }
  void row_norm_backward(int64_t rows, int64_t width, ConstActivation d_y, ConstActivation x, const float* rstd, const float* weight,
                         Activation d_x) override {
    const Timer timer(*this, "row_norm_backward");
    backend_->row_norm_backward(rows, width, d_y, x, rstd, weight, d_x);
  }
  void lora_linear_forward(int64_t M, ConstActivation x, std::span<LinearTarget> targets, std::span<const Segment> segments) override {
    const Timer timer(*this, "lora_linear_forward");
    backend_->lora_linear_forward(M, x, targets, segments);
  }
  void lora_linear_backward(int64_t M, ConstActivation x, std::span<const LinearTarget> targets, std::span<const Segment> segments,
                            Activation d_x) override {
    const Timer timer(*this, "lora_linear_backward");
    backend_->lora_linear_backward(M, x, targets, segments, d_x);
  }
  void lora_linear_decode(ConstActivation x, std::span<const LinearTarget> targets, std::span<const LoraPair> pairs) override {
    const Timer timer(*this, "lora_linear_decode");
    backend_->lora_linear_decode(x, targets, pairs);
  }
  void rope(int64_t M, int heads, int head_dim, std::span<const int32_t> positions, const float* cosine, const float* sine, bool inverse,
            Activation x) override {
    const Timer timer(*this, "rope");
    backend_->rope(M, heads, head_dim, positions, cosine, sine, inverse, x);
  }
  void attention_forward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                         ConstActivation v, Activation o, float* lse) override {
    const Timer timer(*this, "attention_forward");
    backend_->attention_forward(shape, offsets, q, k, v, o, lse);
  }
  void attention_backward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                          ConstActivation v, ConstActivation o, const float* lse, ConstActivation d_o, Activation d_q, Activation d_k,
                          Activation d_v) override {
    const Timer timer(*this, "attention_backward");
    backend_->attention_backward(shape, offsets, q, k, v, o, lse, d_o, d_q, d_k, d_v);
  }
  void attention_decode(const AttentionShape& shape, int64_t T, ConstActivation q, ConstActivation keys, ConstActivation values,
                        Activation o) override {
    const Timer timer(*this, "attention_decode");
    backend_->attention_decode(shape, T, q, keys, values, o);
  }
  void glu_forward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, Activation h) override {
    const Timer timer(*this, "glu_forward");
    backend_->glu_forward(kind, count, gate, up, h);
  }
  void glu_backward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, ConstActivation d_h, Activation d_gate,
                    Activation d_up, Activation h) override {
    const Timer timer(*this, "glu_backward");
    backend_->glu_backward(kind, count, gate, up, d_h, d_gate, d_up, h);
  }
  void linear_cross_entropy(int64_t M, ConstActivation x, const Matrix& head, float divider, std::span<const int32_t> targets,
                            std::span<const float> grad_scales, float* losses, uint8_t* correct, Activation d_x) override {
    const Timer timer(*this, "linear_cross_entropy");
    backend_->linear_cross_entropy(M, x, head, divider, targets, grad_scales, losses, correct, d_x);
  }
  void head_logits(int64_t M, ConstActivation x, const Matrix& head, float divider, float* logits) override {
    const Timer timer(*this, "head_logits");
    backend_->head_logits(M, x, head, divider, logits);
  }
  void head_logits_decode(ConstActivation x, const Matrix& head, float divider, float* logits) override {
    const Timer timer(*this, "head_logits_decode");
    backend_->head_logits_decode(x, head, divider, logits);
  }
  void gather_rows(int64_t K, std::span<const int32_t> rows, ConstActivation x, Activation out) override {
    const Timer timer(*this, "gather_rows");
    backend_->gather_rows(K, rows, x, out);
  }
  void scatter_rows(int64_t M, int64_t K, std::span<const int32_t> rows, ConstActivation in, Activation x) override {
    const Timer timer(*this, "scatter_rows");
    backend_->scatter_rows(M, K, rows, in, x);
  }
  double sum_of_squares(std::span<const float> x) override {
    const Timer timer(*this, "sum_of_squares");
    return backend_->sum_of_squares(x);
  }
  void adamw(const AdamWStep& step, std::span<float> parameter, std::span<float> gradient, std::span<float> moment1,
             std::span<float> moment2) override {
    const Timer timer(*this, "adamw");
    backend_->adamw(step, parameter, gradient, moment1, moment2);
  }
  void sgd(float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, std::span<float> parameter,
           std::span<float> gradient, std::span<float> momentum_buffer) override {
    const Timer timer(*this, "sgd");
    backend_->sgd(learning_rate, momentum, weight_decay, grad_scale, first_step, parameter, gradient, momentum_buffer);
  }

 private:
  class Timer {
   public:
    Timer(ProfiledBackend& owner, const char* op) : owner_(owner), op_(op), begin_(std::chrono::steady_clock::now()) {}
    ~Timer() { owner_.add(op_, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count()); }

   private:
    ProfiledBackend& owner_;
    const char* op_;
    std::chrono::steady_clock::time_point begin_;
  };

  void add(const char* op, double seconds) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (ProfileEntry& entry : entries_) {
      if (entry.op != op) continue;
      ++entry.calls;
      entry.seconds += seconds;
      return;
    }
    entries_.push_back({op, 1, seconds});
  }

  std::unique_ptr<Backend> backend_;
  mutable std::mutex mutex_;  // of the entries
  std::vector<ProfileEntry> entries_;
};

}  // namespace

std::unique_ptr<Profiled> profile(std::unique_ptr<Backend> backend) { return std::make_unique<ProfiledBackend>(std::move(backend)); }

}  // namespace fedlora
