/// Backward of lora_linear:
///
///   d_h = s·d_y·B      d_B += s·d_yᵀ·h      d_A += d_hᵀ·drop(x)      d_x = Σ_targets (d_y·W + drop'(d_h·A))
///
/// Frozen factors have a d_h of their own, which d_x alone takes, without dropout.
/// Two parallel loops. By rows: d_h (narrow), and h and d_h laid out for the sums over rows. By columns: d_x with the base and the adapters
/// of all targets in one accumulation, d_A and d_B. Every sum over rows runs in the order of rows and belongs to one task.
/// Cost: 2·M·K·N + 2·M·R·(2·K + 2·N) flop a target.
#include "backend/cpu/lora_linear_backward.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/weight_view.h"

namespace fedlora {

namespace {
int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }
}  // namespace

template <class T>
LoraBackward<T>::LoraBackward(const Gemm<T>& gemm, int64_t threads, int64_t M, const T* x, std::span<const LinearTarget> targets,
                              std::span<const Segment> segments, T* d_x)
    : gemm_(gemm),
      shape_(gemm_shape(M)),
      M_(M),
      K_(targets[0].W->K),
      x_(x),
      targets_(targets),
      segments_(segments),
      d_x_(d_x),
      row_tasks_(split_adapter_rows(M, segments, threads)),
      cover_(cover_rows(M, segments)) {
  d_h_offset_.resize(segments.size());
  left_h_.resize(segments.size());
  left_d_h_.resize(segments.size());
  left_stride_.resize(segments.size());
  for (size_t s = 0; s < segments.size(); ++s) {
    if (!has_adapter(segments[s])) continue;
    const int64_t rows = segments[s].row_end - segments[s].row_begin;
    int64_t ranks = 0;
    for (const LoraPair& pair : segments[s].pairs) {
      for (const int rank : {pair.rank, pair.frozen.rank}) {
        d_h_offset_[s].push_back(d_h_elements_);
        d_h_elements_ += round_up(rows * rank, 32);
      }
      ranks += round_up(pair.rank, outer_rank_step);
      dropout_ = dropout_ || (pair.rank > 0 && pair.dropout > 0);
      widest_rank_ = std::max<int64_t>(widest_rank_, pair.rank);
    }
    // Each target's ranks are padded apart, so that one matrix serves d_A (all targets at once) and d_B (one target).
    left_stride_[s] = ranks;
    left_h_[s] = left_dwords_;
    left_d_h_[s] = left_dwords_ + gemm.steps(rows) * ranks;
    left_dwords_ += 2 * gemm.steps(rows) * ranks;
  }
  if (d_x) {
    for (const LinearTarget& target : targets) base_.push_back({GemmTerm<T>::columns, as<T>(target.d_y), target.W->N, view_of(*target.W)});
    const ColumnSplit split(K_, shape_.panel_columns, threads);
    for (int64_t i = 0; i < split.count(); ++i) tasks_.push_back({Task::input, -1, -1, split.begin(i), split.end(i)});
  }
  for (size_t s = 0; s < segments.size(); ++s) {
    if (!has_adapter(segments[s])) continue;
    const int64_t segment = static_cast<int64_t>(s);
    for (size_t t = 0; t < targets.size(); ++t) {
      const LoraPair& pair = segments[s].pairs[t];
      if (pair.rank == 0 || pair.d_B == nullptr) continue;
      const ColumnSplit split(targets[t].W->N, outer_columns, threads);
      for (int64_t i = 0; i < split.count(); ++i)
        tasks_.push_back({Task::B, segment, static_cast<int64_t>(t), split.begin(i), split.end(i)});
    }
    const bool wanted =
        std::any_of(segments[s].pairs.begin(), segments[s].pairs.end(), [](const LoraPair& pair) { return pair.rank > 0 && pair.d_A; });
    const ColumnSplit split(K_, outer_columns, threads);
    for (int64_t i = 0; wanted && i < split.count(); ++i) tasks_.push_back({Task::A, segment, -1, split.begin(i), split.end(i)});
  }
}

template <class T>
size_t LoraBackward<T>::workspace_bytes() const {
  int64_t widest = 0;
  for (const LinearTarget& target : targets_) widest = std::max(widest, gemm_.steps(target.W->N));
  const size_t input = gemm_.workspace_bytes(shape_, M_, gemm_.steps_of(base_), own_steps(), dropout_);
  const size_t d_h = gemm_.workspace_bytes(shape_, M_, widest, 0, false);
  return std::max(input, d_h) + gemm_.workspace_bytes(shape_, dropout_rows, gemm_.steps(widest_rank_), 0, false);
}

/// The most steps that one segment's adapters add to d_x.
template <class T>
int64_t LoraBackward<T>::own_steps() const {
  int64_t most = 0;
  for (const Segment& segment : segments_) {
    int64_t steps = 0;
    for (const LoraPair& pair : segment.pairs) steps += gemm_.steps(pair.rank) + gemm_.steps(pair.frozen.rank);
    most = std::max(most, steps);
  }
  return most;
}

/// Where a target's ranks begin in a step of `left`.
template <class T>
int64_t LoraBackward<T>::rank_offset(const Segment& segment, size_t target) {
  int64_t at = 0;
  for (size_t t = 0; t < target; ++t) at += round_up(segment.pairs[t].rank, outer_rank_step);
  return at;
}

template <class T>
size_t LoraBackward<T>::extra_bytes() const {
  const int64_t sums = widest_rank_ * outer_columns * 4;  // unscaled sums of d_A or d_B
  const int64_t masked = dropout_ ? dropout_rows * std::max(outer_columns, shape_.panel_columns) * 4 : 0;
  return static_cast<size_t>(sums + masked + outer_columns + 64);
}

template <class T>
void LoraBackward<T>::rows(const RowTask& task, void* workspace) const {
  const size_t s = static_cast<size_t>(task.segment);
  const Segment& segment = segments_[s];
  const int64_t first = task.begin - segment.row_begin, count = task.end - task.begin;
  int64_t rank_at = 0;
  for (size_t t = 0; t < targets_.size(); ++t) {
    const LoraPair& pair = segment.pairs[t];
    if (pair.rank == 0) continue;
    const LinearTarget& target = targets_[t];
    const int64_t N = target.W->N;
    const auto times_B = [&](const float* B, int64_t rank, T* d_h) {
      const GemmTerm<T> term{GemmTerm<T>::columns, d_y_of(t) + task.begin * N, N, view_of(B, N, rank, pair.scaling)};
      const GemmRows<T> all{0, count, {}, false};
      for (int64_t column = 0; column < rank; column += shape_.panel_columns) {
        GemmProduct<T> product;
        product.column_begin = column;
        product.column_end = std::min<int64_t>(column + shape_.panel_columns, rank);
        product.terms = {&term, 1};
        product.rows = {&all, 1};
        product.write(d_h + column, rank);
        gemm_.multiply(shape_, count, product, workspace);
      }
    };
    T* d_h = d_h_of(s, t) + first * pair.rank;
    if (d_x_ || pair.d_A) times_B(pair.B, pair.rank, d_h);
    if (d_x_ && pair.frozen.rank > 0) times_B(pair.frozen.B, pair.frozen.rank, frozen_d_h_of(s, t) + first * pair.frozen.rank);
    const int64_t at = gemm_.steps(first) * left_stride_[s] + rank_at;
    const auto pack = [&](const T* rows, int64_t stride, uint32_t* left) {
      gemm_.kernels().pack_columns(rows, stride, pair.rank, count, left + at, left_stride_[s]);
    };
    if (pair.d_B != nullptr) pack(as<T>(target.h, task.begin * target.h_stride), target.h_stride, left_ + left_h_[s]);
    if (pair.d_A != nullptr) pack(d_h, pair.rank, left_ + left_d_h_[s]);
    rank_at += round_up(pair.rank, outer_rank_step);
  }
}

template <class T>
void LoraBackward<T>::columns(const Task& task, void* workspace, void* extra) const {
  if (task.what == Task::input)
    input(task, workspace, extra);
  else if (task.what == Task::B)
    gradient_B(task, extra);
  else
    gradient_A(task, extra);
}

/// d_B[n,r] += s·Σ_m h[m,r]·d_y[m,n] for n in the task's columns.
template <class T>
void LoraBackward<T>::gradient_B(const Task& task, void* extra) const {
  const size_t s = static_cast<size_t>(task.segment), t = static_cast<size_t>(task.target);
  const Segment& segment = segments_[s];
  const LoraPair& pair = segment.pairs[t];
  const int64_t N = targets_[t].W->N, width = task.end - task.begin;
  float* sums = static_cast<float*>(extra);
  std::fill(sums, sums + pair.rank * width, 0.0f);
  float* out[max_ranks];
  for (int64_t from = 0; from < pair.rank; from += max_ranks) {
    const int64_t ranks = std::min<int64_t>(max_ranks, pair.rank - from);
    for (int64_t r = 0; r < ranks; ++r) out[r] = sums + (from + r) * width;
    OuterCall call;
    call.rows = segment.row_end - segment.row_begin;
    call.columns = width;
    call.rank = ranks;
    call.left = left_ + left_h_[s] + rank_offset(segment, t) + from;
    call.left_stride = left_stride_[s];
    call.right = d_y_of(t) + segment.row_begin * N + task.begin;
    call.right_stride = N;
    call.out = out;
    gemm_.kernels().outer(call);
  }
  for (int64_t n = 0; n < width; ++n)
    for (int64_t r = 0; r < pair.rank; ++r) pair.d_B[(task.begin + n) * pair.rank + r] += pair.scaling * sums[r * width + n];
}

/// d_A[r,k] += Σ_m d_h[m,r]·drop(x)[m,k] for k in the task's columns; targets without dropout share one pass over x.
template <class T>
void LoraBackward<T>::gradient_A(const Task& task, void* extra) const {
  const size_t s = static_cast<size_t>(task.segment);
  const Segment& segment = segments_[s];
  const int64_t rows = segment.row_end - segment.row_begin, width = task.end - task.begin;
  OuterCall call;
  call.rows = rows;
  call.columns = width;
  call.left_stride = left_stride_[s];
  call.right = x_ + segment.row_begin * K_ + task.begin;
  call.right_stride = K_;
  float* out[max_ranks];
  call.out = out;
  const auto flush = [&](int64_t first_rank) {
    call.left = left_ + left_d_h_[s] + first_rank;
    if (call.rank > 0) gemm_.kernels().outer(call);
    call.rank = 0;
  };
  int64_t first = 0, at = 0;  // rank columns of `left`: where the pending call begins, where we are
  for (size_t t = 0; t < targets_.size(); ++t) {
    const LoraPair& pair = segment.pairs[t];
    const int64_t padded = round_up(pair.rank, outer_rank_step);
    const bool skip = pair.rank == 0 || pair.d_A == nullptr, masked = !skip && pair.dropout > 0;
    for (int64_t r = 0; r < padded; ++r, ++at) {
      if (call.rank == max_ranks) flush(first), first = at;
      out[call.rank++] = skip || masked || r >= pair.rank ? nullptr : pair.d_A + r * K_ + task.begin;
    }
    if (masked) masked_gradient_A(task, t, at - padded, extra);
  }
  flush(first);
}

/// d_x for the task's columns. Ranges whose adapters drop inputs keep their sum until the masked part is added.
template <class T>
void LoraBackward<T>::input(const Task& task, void* workspace, void* extra) const {
  std::vector<GemmTerm<T>> own;
  std::vector<GemmRows<T>> ranges;
  own.reserve(2 * cover_.size() * targets_.size());
  for (const RowTask& range : cover_) {
    GemmRows<T> rows{range.begin, range.end, {}, false};
    const size_t first = own.size();
    if (range.segment >= 0) {
      const size_t s = static_cast<size_t>(range.segment);
      for (size_t t = 0; t < targets_.size(); ++t) {
        const LoraPair& pair = segments_[s].pairs[t];
        if (pair.rank == 0) continue;
        // The rows of d_h begin with the segment; GemmTerm::a wants row 0 of the call, which is never touched.
        const auto times_A = [&](const T* d_h, const float* A, int64_t rank) {
          own.push_back({GemmTerm<T>::columns, d_h - range.begin * rank, rank, view_of(A, rank, K_, 1)});
        };
        if (pair.dropout > 0)
          rows.keep_sum = true;
        else
          times_A(d_h_of(s, t), pair.A, pair.rank);
        if (pair.frozen.rank > 0) times_A(frozen_d_h_of(s, t), pair.frozen.A, pair.frozen.rank);
      }
    }
    rows.terms = {own.data() + first, own.size() - first};
    ranges.push_back(rows);
  }
  GemmProduct<T> product;
  product.column_begin = task.begin;
  product.column_end = task.end;
  product.terms = base_;
  product.rows = ranges;
  product.write(d_x_ + task.begin, K_);
  float* sum = gemm_.multiply(shape_, M_, product, workspace);
  if (!dropout_) return;
  uint8_t* second = static_cast<uint8_t*>(workspace) + gemm_.workspace_bytes(shape_, M_, gemm_.steps_of(base_), own_steps(), true);
  for (size_t i = 0; i < cover_.size(); ++i)
    if (ranges[i].keep_sum) masked_input(task, static_cast<size_t>(cover_[i].segment), sum, second, extra);
}

void CpuBackend::lora_linear_backward(int64_t M, ConstActivation x, std::span<const LinearTarget> targets,
                                      std::span<const Segment> segments, Activation d_x) {
  if (M == 0 || targets.empty()) return;
  typed([&]<class T>(const TypedKernels<T>&) {
    const Gemm<T> gemm(kernels_);
    LoraBackward<T> backward(gemm, threads(), M, as<T>(x), targets, segments, as<T>(d_x));
    slot(Slot::panel).reserve(threads(), backward.workspace_bytes());
    slot(Slot::dropout).reserve(threads(), backward.extra_bytes());
    slot(Slot::d_h).reserve(1, backward.shared_bytes());
    backward.place(slot(Slot::d_h).get<uint8_t>());
    const std::vector<RowTask>& row_tasks = backward.row_tasks();
    pool_.run(static_cast<int64_t>(row_tasks.size()),
              [&](int64_t i, int member) { backward.rows(row_tasks[static_cast<size_t>(i)], slot(Slot::panel).get<void>(member)); });
    const auto& tasks = backward.tasks();
    pool_.run(static_cast<int64_t>(tasks.size()), [&](int64_t i, int member) {
      backward.columns(tasks[static_cast<size_t>(i)], slot(Slot::panel).get<void>(member), slot(Slot::dropout).get<void>(member));
    });
  });
}

}  // namespace fedlora
