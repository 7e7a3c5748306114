// The machine's peak, measured with the same kernels' instruction set and threads as the work beside it.
#include <algorithm>
#include <array>
#include <chrono>

#include "backend/cpu/kernels/kernel_table.h"
#include "backend/ops.h"
#include "base/thread_pool.h"

namespace fedlora {

double measure_cpu_roof(Compute compute, int threads, double seconds) {
  using clock = std::chrono::steady_clock;
  const KernelTable& kernels = kernel_table(select_isa());
  const auto kernel = compute == Compute::bf16 ? kernels.roof_bf16 : kernels.roof_f32;
  ThreadPool pool(threads);
  std::vector<double> flop(static_cast<size_t>(threads)), spent(static_cast<size_t>(threads));
  // One task a member: each runs for `seconds` and times itself, so that a late start does not count.
  pool.run(threads, [&](int64_t index, int) {
    std::array<float, 3> sink = {0.0f, 0.5f, 0.25f};
    kernel(1000, sink.data());
    const auto begin = clock::now();
    double done = 0, elapsed = 0;
    while (elapsed < seconds) {
      done += kernel(20000, sink.data());
      elapsed = std::chrono::duration<double>(clock::now() - begin).count();
    }
    flop[static_cast<size_t>(index)] = done;
    spent[static_cast<size_t>(index)] = elapsed;
  });
  double rate = 0;
  for (size_t i = 0; i < flop.size(); ++i) rate += flop[i] / spent[i];
  return rate;
}

}  // namespace fedlora
