/// h = drop(x)·Aᵀ, then y = x·Wᵀ + bias + h·(s·B)ᵀ with both products in one accumulation; frozen factors add a third, of x as it is.
///
/// Two parallel loops: over rows for h (it is narrow: R columns), over columns of every target for y. h is rounded to the compute type
/// before it is used, so that backward sees the h that made y; that of frozen factors, which backward has no use for, lies in scratch
/// memory. Cost: 2·M·K·N + 2·M·(R + P)·(K + N) flop a target.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dropout.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/lora_linear.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/weight_view.h"

namespace fedlora {

namespace {
constexpr int64_t dropout_rows = 128;  // rows whose masked input is built at a time

/// x·A_resᵀ of each target: [M, stride], elements from the slot's beginning; stride 0 where no segment has frozen factors.
struct FrozenRows {
  int64_t at = 0, stride = 0;
};
std::vector<FrozenRows> lay_out_frozen(int64_t M, size_t targets, std::span<const Segment> segments) {
  std::vector<FrozenRows> all(targets);
  int64_t at = 0;
  for (size_t t = 0; t < targets; ++t) {
    for (const Segment& segment : segments) all[t].stride = std::max<int64_t>(all[t].stride, segment.pairs[t].frozen.rank);
    all[t].at = at;
    at += (M * all[t].stride + 31) / 32 * 32;
  }
  return all;
}
}  // namespace

void CpuBackend::lora_linear_forward(int64_t M, ConstActivation input, std::span<LinearTarget> targets, std::span<const Segment> segments) {
  if (M == 0 || targets.empty()) return;
  typed([&]<class T>(const TypedKernels<T>&) {
    const Gemm<T> gemm(kernels_);
    const GemmShape shape = gemm_shape(M);
    const T* x = as<T>(input);
    const int64_t K = targets[0].W->K;

    const std::vector<FrozenRows> frozen = lay_out_frozen(M, targets.size(), segments);
    const auto frozen_h = [&](size_t t) { return slot(Slot::d_h).get<T>() + frozen[t].at; };

    // h, by rows.
    const std::vector<RowTask> row_tasks = split_adapter_rows(M, segments, threads());
    if (!row_tasks.empty()) {
      slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(K), 0, false));
      bool dropout = false;
      for (const Segment& segment : segments)
        for (const LoraPair& pair : segment.pairs) dropout = dropout || (pair.rank > 0 && pair.dropout > 0);
      if (dropout) slot(Slot::dropout).reserve(threads(), static_cast<size_t>((dropout_rows * static_cast<int64_t>(sizeof(T)) + 1) * K));
      slot(Slot::d_h).reserve(1, static_cast<size_t>(frozen.back().at + M * frozen.back().stride) * sizeof(T));
      pool_.run(static_cast<int64_t>(row_tasks.size()), [&](int64_t i, int member) {
        const RowTask& task = row_tasks[static_cast<size_t>(i)];
        const Segment& segment = segments[static_cast<size_t>(task.segment)];
        const auto times_A = [&](const T* x, int64_t rows, const float* A, int64_t rank, float factor, T* h, int64_t h_stride) {
          const GemmTerm<T> term{GemmTerm<T>::rows, x, K, view_of(A, rank, K, factor)};
          const GemmRows<T> all{0, rows, {}, false};
          for (int64_t column = 0; column < rank; column += shape.panel_columns) {
            GemmProduct<T> product;
            product.column_begin = column;
            product.column_end = std::min<int64_t>(column + shape.panel_columns, rank);
            product.terms = {&term, 1};
            product.rows = {&all, 1};
            product.write(h + column, h_stride);
            gemm.multiply(shape, rows, product, slot(Slot::panel).get<void>(member));
          }
        };
        for (size_t t = 0; t < targets.size(); ++t) {
          const LoraPair& pair = segment.pairs[t];
          if (pair.rank == 0) continue;
          if (pair.frozen.rank > 0)
            times_A(x + task.begin * K, task.end - task.begin, pair.frozen.A, pair.frozen.rank, 1,
                    frozen_h(t) + task.begin * frozen[t].stride, frozen[t].stride);
          const int64_t step = pair.dropout > 0 ? dropout_rows : task.end - task.begin;
          for (int64_t begin = task.begin; begin < task.end; begin += step) {
            const int64_t rows = std::min(step, task.end - begin);
            const T* rows_of_x = x + begin * K;
            if (pair.dropout > 0) {
              T* masked = slot(Slot::dropout).get<T>(member);
              uint8_t* keep = reinterpret_cast<uint8_t*>(masked + dropout_rows * K);
              for (int64_t m = 0; m < rows; ++m) {
                draw_kept(kernels_, pair, (begin + m - segment.row_begin) * K, K, keep);
                keep_elements(rows_of_x + m * K, keep, K, masked + m * K);
              }
              rows_of_x = masked;
            }
            times_A(rows_of_x, rows, pair.A, pair.rank, kept_factor(pair), as<T>(targets[t].h, begin * targets[t].h_stride),
                    targets[t].h_stride);
          }
        }
      });
    }

    // y, by columns of each target.
    const std::vector<RowTask> cover = cover_rows(M, segments);
    struct Plan {
      GemmTerm<T> base;
      std::vector<GemmTerm<T>> own;  // of all ranges: none where there is no adapter, two where it has frozen factors
      std::vector<GemmRows<T>> rows;
      ColumnSplit split;
      int64_t first_task;
    };
    std::vector<Plan> plans;
    int64_t tasks = 0, own_steps = 0;
    for (size_t t = 0; t < targets.size(); ++t) {
      const LinearTarget& target = targets[t];
      Plan plan{{GemmTerm<T>::rows, x, K, view_of(*target.W)}, {}, {}, {target.W->N, shape.panel_columns, threads()}, tasks};
      plan.own.reserve(2 * cover.size());
      for (const RowTask& range : cover) {
        GemmRows<T> rows{range.begin, range.end, {}, false};
        if (range.segment >= 0 && segments[static_cast<size_t>(range.segment)].pairs[t].rank > 0) {
          const LoraPair& pair = segments[static_cast<size_t>(range.segment)].pairs[t];
          const size_t first = plan.own.size();
          plan.own.push_back({GemmTerm<T>::rows, as<T>(target.h), target.h_stride, view_of(pair.B, target.W->N, pair.rank, pair.scaling)});
          if (pair.frozen.rank > 0)
            plan.own.push_back(
                {GemmTerm<T>::rows, frozen_h(t), frozen[t].stride, view_of(pair.frozen.B, target.W->N, pair.frozen.rank, pair.scaling)});
          rows.terms = {plan.own.data() + first, plan.own.size() - first};
          own_steps = std::max(own_steps, gemm.steps(pair.rank) + gemm.steps(pair.frozen.rank));
        }
        plan.rows.push_back(rows);
      }
      tasks += plan.split.count();
      plans.push_back(std::move(plan));
    }
    slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(K), own_steps, false));
    pool_.run(tasks, [&](int64_t i, int member) {
      size_t t = plans.size() - 1;
      while (plans[t].first_task > i) --t;
      const Plan& plan = plans[t];
      const int64_t part = i - plan.first_task;
      GemmProduct<T> product;
      product.column_begin = plan.split.begin(part);
      product.column_end = plan.split.end(part);
      product.terms = {&plan.base, 1};
      product.rows = plan.rows;
      product.bias = targets[t].bias;
      product.write(as<T>(targets[t].y, plan.split.begin(part)), targets[t].W->N);
      gemm.multiply(shape, M, product, slot(Slot::panel).get<void>(member));
    });
  });
}

}  // namespace fedlora
