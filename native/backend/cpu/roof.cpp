// The machine's peaks, measured with the same kernels' instruction set and threads as the work beside them.
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <numeric>

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels/kernel_table.h"
#include "base/aligned.h"
#include "base/thread_pool.h"

namespace fedlora {

namespace {
/// One task a member: each calls `work` for `seconds` and times itself, so that a late start does not count. Sum of the rates.
double summed_rate(ThreadPool& pool, double seconds, const std::function<double(int64_t member)>& work) {
  using clock = std::chrono::steady_clock;
  std::vector<double> rates(static_cast<size_t>(pool.threads()));
  pool.run(pool.threads(), [&](int64_t index, int) {
    const auto begin = clock::now();
    double done = 0, elapsed = 0;
    while (elapsed < seconds) {
      done += work(index);
      elapsed = std::chrono::duration<double>(clock::now() - begin).count();
    }
    rates[static_cast<size_t>(index)] = done / elapsed;
  });
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}
}  // namespace

double measure_cpu_roof(Compute compute, int threads, double seconds) {
  const KernelTable& kernels = kernel_table(select_isa());
  const auto kernel = compute == Compute::bf16 ? of<bf16>(kernels).roof : of<float>(kernels).roof;
  ThreadPool pool(threads);
  std::array<float, 3> warm = {0.0f, 0.5f, 0.25f};
  kernel(1000, warm.data());
  return summed_rate(pool, seconds, [&](int64_t) {
    std::array<float, 3> sink = {0.0f, 0.5f, 0.25f};
    return kernel(20000, sink.data());
  });
}

double measure_read_bandwidth(int threads, double seconds) {
  constexpr int64_t buffer_bytes = 256 << 20, slice = (4 << 20) / sizeof(float);
  AlignedBuffer<float> buffer(buffer_bytes / sizeof(float));
  constexpr int64_t slices = buffer_bytes / static_cast<int64_t>(sizeof(float)) / slice;
  const auto kernel = kernel_table(select_isa()).roof_read;
  ThreadPool pool(threads);
  pool.run(slices, [&](int64_t index, int) { std::fill_n(buffer.data() + index * slice, slice, 1.0f); });
  // Members start far apart in the same ring: each reads all of it, none what another has just brought into the shared cache.
  std::vector<int64_t> at(static_cast<size_t>(threads));
  for (int member = 0; member < threads; ++member) at[static_cast<size_t>(member)] = slices * member / threads;
  std::vector<float> sums(static_cast<size_t>(threads));
  return summed_rate(pool, seconds, [&](int64_t member) {
    int64_t& place = at[static_cast<size_t>(member)];
    sums[static_cast<size_t>(member)] += kernel(buffer.data() + place * slice, slice);
    place = (place + 1) % slices;
    return static_cast<double>(slice * static_cast<int64_t>(sizeof(float)));
  });
}

}  // namespace fedlora
