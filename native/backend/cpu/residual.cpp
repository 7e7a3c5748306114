/// The residual stream without a norm, factors on what is added to it, and pieces of fused projections: split into runs of elements or
/// rows.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::residual_add(int64_t count, float* x, ConstActivation delta, Activation x_copy) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, count, 1,
              [&](int64_t first, int64_t n) { kernels.residual_add(n, x + first, as<T>(delta, first), as<T>(x_copy, first)); });
  });
}

void CpuBackend::scale(int64_t count, float factor, Activation x) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, count, 1, [&](int64_t first, int64_t n) { kernels.scale_in_place(n, factor, as<T>(x, first)); });
  });
}

namespace {
/// Calls run(in the whole, in the part) for the first element of every run of the rows [first, first + count).
template <class Run>
void each_run(const ColumnRuns& runs, int64_t first, int64_t count, const Run& run) {
  for (int64_t m = first; m < first + count; ++m)
    for (int64_t i = 0; i < runs.count; ++i) run(m * runs.width + runs.begin + i * runs.stride, (m * runs.count + i) * runs.run);
}
}  // namespace

void CpuBackend::take_columns(int64_t M, const ColumnRuns& runs, ConstActivation whole, Activation part) {
  typed([&]<class T>(const TypedKernels<T>&) {
    each_rows(pool_, M, runs.count * runs.run, [&](int64_t first, int64_t count) {
      each_run(runs, first, count, [&](int64_t from, int64_t to) { std::copy_n(as<T>(whole, from), runs.run, as<T>(part, to)); });
    });
  });
}

void CpuBackend::put_columns(int64_t M, const ColumnRuns& runs, ConstActivation part, Activation whole) {
  typed([&]<class T>(const TypedKernels<T>&) {
    each_rows(pool_, M, runs.count * runs.run, [&](int64_t first, int64_t count) {
      each_run(runs, first, count, [&](int64_t to, int64_t from) { std::copy_n(as<T>(part, from), runs.run, as<T>(whole, to)); });
    });
  });
}

}  // namespace fedlora
