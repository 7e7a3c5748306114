/// The plan of one backward call of lora_linear: what is computed by rows, what by columns, and where it lies in scratch memory.
#pragma once
#include <cstring>

#include "backend/cpu/gemm.h"
#include "backend/cpu/lora_linear.h"
#include "backend/cpu/rows.h"

namespace fedlora {

template <class T>
class LoraBackward {
 public:
  /// Columns [begin, end) of d_x (`input`), of a target's d_B or of a segment's d_A.
  struct Task {
    enum What { input, B, A } what;
    int64_t segment, target, begin, end;
  };

  LoraBackward(const Gemm<T>& gemm, int64_t threads, int64_t M, const T* x, std::span<const LinearTarget> targets,
               std::span<const Segment> segments, T* d_x);

  /// Bytes of each member's workspace and further scratch, and of the memory that all share: d_h, and the left sides of the outer products.
  size_t workspace_bytes() const;
  size_t extra_bytes() const;
  size_t shared_bytes() const { return static_cast<size_t>(d_h_elements_ * element + left_dwords_ * 4); }
  void place(uint8_t* shared) {
    d_h_ = reinterpret_cast<T*>(shared);
    left_ = reinterpret_cast<uint32_t*>(d_h_ + d_h_elements_);
  }

  /// First loop, then second loop.
  const std::vector<RowTask>& row_tasks() const { return row_tasks_; }
  const std::vector<Task>& tasks() const { return tasks_; }
  void rows(const RowTask& task, void* workspace) const;
  void columns(const Task& task, void* workspace, void* extra) const;

 private:
  static constexpr int64_t element = sizeof(T);
  static constexpr int64_t outer_columns = 256;  // columns of an outer product's task
  static constexpr int64_t max_ranks = 64;       // rows of its output at a time
  static constexpr int64_t dropout_rows = 128;   // rows whose mask is drawn at a time; even

  T* d_h_of(size_t segment, size_t target) const { return d_h_ + d_h_offset_[segment][2 * target]; }
  T* frozen_d_h_of(size_t segment, size_t target) const { return d_h_ + d_h_offset_[segment][2 * target + 1]; }
  const T* d_y_of(size_t target) const { return as<T>(targets_[target].d_y); }
  int64_t own_steps() const;
  static int64_t rank_offset(const Segment& segment, size_t target);
  void gradient_B(const Task& task, void* extra) const;
  void gradient_A(const Task& task, void* extra) const;
  void masked_gradient_A(const Task& task, size_t target, int64_t rank_at, void* extra) const;
  void input(const Task& task, void* workspace, void* extra) const;
  void masked_input(const Task& task, size_t segment, float* sum, void* workspace, void* extra) const;

  const Gemm<T>& gemm_;
  GemmShape shape_;
  int64_t M_, K_;
  const T* x_;
  std::span<const LinearTarget> targets_;
  std::span<const Segment> segments_;
  T* d_x_;
  std::vector<RowTask> row_tasks_, cover_;
  std::vector<GemmTerm<T>> base_;
  std::vector<Task> tasks_;
  std::vector<std::vector<int64_t>> d_h_offset_;  // [segment][trained and frozen of each target], elements
  std::vector<int64_t> left_h_, left_d_h_;        // [segment], dwords
  std::vector<int64_t> left_stride_;              // [segment]
  int64_t d_h_elements_ = 0, left_dwords_ = 0, widest_rank_ = 0;
  bool dropout_ = false;
  T* d_h_ = nullptr;
  uint32_t* left_ = nullptr;
};

}  // namespace fedlora
