#include "backend/cpu/cpu.h"
#include "bench/activations.h"
#include "bench/kernel_bench.h"

namespace fedlora {

namespace {

/// One row of queries again in double: softmax(scale·q·K)·V.
double forward_error(const AttentionBench& bench, int64_t m, int head, const BenchActivations& q, const BenchActivations& k,
                     const BenchActivations& v, const BenchActivations& o) {
  const auto [heads, kv_heads, D, scale, window, soft_cap, slopes, sum_delta] = bench.shape;
  const int64_t first = m / bench.length * bench.length, begin = window > 0 ? std::max(first, m + 1 - window) : first;
  const int64_t q_at = (m * heads + head) * D, shared = head / (heads / kv_heads);
  std::vector<double> weight;
  double top = -INFINITY, sum = 0;
  for (int64_t key = begin; key <= m; ++key) {
    double score = 0;
    for (int d = 0; d < D; ++d) score += q[q_at + d] * k[(key * kv_heads + shared) * D + d];
    weight.push_back(score * static_cast<double>(scale));
    top = std::max(top, weight.back());
  }
  for (double& w : weight) sum += w = std::exp(w - top);
  double worst = 0;
  for (int d = 0; d < D; ++d) {
    CheckedSum expected;
    for (int64_t key = begin; key <= m; ++key)
      expected.add(weight[static_cast<size_t>(key - begin)] / sum * v[(key * kv_heads + shared) * D + d]);
    worst = worse(worst, expected.error(o[q_at + d]));
  }
  return worst;
}

}  // namespace

KernelReport bench_attention(const AttentionBench& bench) {
  RandomWords words(2);
  const std::unique_ptr<Backend> backend = make_cpu_backend(bench.compute, bench.threads);
  const AttentionShape& shape = bench.shape;
  const int64_t M = bench.sequences * bench.length, wide = int64_t{shape.heads} * shape.head_dim,
                narrow = int64_t{shape.kv_heads} * shape.head_dim;
  BenchActivations q(bench.compute, M * wide), k(bench.compute, M * narrow), v(bench.compute, M * narrow), o(bench.compute, M * wide);
  BenchActivations d_o(bench.compute, M * wide), d_q(bench.compute, M * wide), d_k(bench.compute, M * narrow),
      d_v(bench.compute, M * narrow);
  for (BenchActivations* operand : {&q, &k, &v, &d_o}) operand->fill(words, 1.7f);
  AlignedBuffer<float> lse(static_cast<size_t>(2 * M * shape.heads));
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= bench.sequences; ++i) offsets.push_back(i * bench.length);
  const auto forward = [&] { backend->attention_forward(shape, offsets, q.data(), k.data(), v.data(), o.data(), lse.data()); };
  const auto backward = [&] {
    backend->attention_backward(shape, offsets, q.data(), k.data(), v.data(), o.data(), lse.data(), d_o.data(), d_q.data(), d_k.data(),
                                d_v.data());
  };
  forward();
  KernelReport report;
  for (int look = 0; look < 8; ++look)
    report.worst_error =
        worse(report.worst_error, forward_error(bench, static_cast<int64_t>(words.next() % static_cast<uint64_t>(M)),
                                                static_cast<int>(words.next() % static_cast<uint64_t>(shape.heads)), q, k, v, o));
  double pairs = 0;
  for (int64_t i = 1; i <= bench.length; ++i) pairs += static_cast<double>(shape.window > 0 ? std::min<int64_t>(i, shape.window) : i);
  const double work = pairs * static_cast<double>(bench.sequences) * static_cast<double>(wide);
  report.forward_flop = {4 * work};
  report.backward_flop = {10 * work};
  for (int i = 0; i < bench.rounds; ++i) {
    KernelRound& round = report.rounds.emplace_back();
    round.roof_one = measure_cpu_roof(bench.compute, 1, roof_seconds);
    round.roof = bench.threads == 1 ? round.roof_one : measure_cpu_roof(bench.compute, bench.threads, roof_seconds);
    round.forward = {seconds_of(forward, call_seconds)};
    round.backward = {seconds_of(backward, call_seconds)};
  }
  return report;
}

}  // namespace fedlora
