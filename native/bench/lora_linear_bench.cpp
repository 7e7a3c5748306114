#include <chrono>

#include "backend/cpu/cpu.h"
#include "bench/activations.h"
#include "bench/kernel_bench.h"
#include "quant/encode.h"

namespace fedlora {

double seconds_of(const std::function<void()>& call, double least_seconds) {
  using clock = std::chrono::steady_clock;
  const auto since = [](clock::time_point begin) { return std::chrono::duration<double>(clock::now() - begin).count(); };
  auto begin = clock::now();
  call();
  double elapsed = since(begin);
  if (elapsed >= least_seconds) return elapsed;
  int64_t calls = 0;
  for (begin = clock::now(), elapsed = 0; elapsed < least_seconds; ++calls) {
    call();
    elapsed = since(begin);
  }
  return elapsed / static_cast<double>(calls);
}

namespace {

/// A candidate's weight, adapter, operands and results.
class Layer {
 public:
  Layer(const LinearBench& bench, LinearBench::Candidate candidate, RandomWords& words, Backend& backend)
      : M_(bench.M),
        K_(bench.K),
        N_(bench.N),
        backend_(backend),
        W_(random_matrix(words, candidate.format, bench.N, bench.K, 64, false)),
        x_(bench.compute, M_ * K_),
        y_(bench.compute, M_ * N_),
        h_(bench.compute, M_ * std::max(candidate.rank, 1)),
        d_y_(bench.compute, M_ * N_),
        d_x_(bench.compute, M_ * K_) {
    x_.fill(words, 1);
    d_y_.fill(words, 1);
    target_ = {&W_, nullptr, y_.data(), candidate.rank > 0 ? h_.data() : nullptr, candidate.rank, d_y_.data()};
    if (candidate.rank == 0) return;
    const int64_t rank = candidate.rank;
    for (AlignedBuffer<float>* factor : {&A_, &d_A_}) *factor = AlignedBuffer<float>(static_cast<size_t>(rank * K_));
    for (AlignedBuffer<float>* factor : {&B_, &d_B_}) *factor = AlignedBuffer<float>(static_cast<size_t>(rank * N_));
    for (float& a : A_) a = words.symmetric(0.05f);
    for (float& b : B_) b = words.symmetric(0.05f);
    std::fill(d_A_.begin(), d_A_.end(), 0.0f);
    std::fill(d_B_.begin(), d_B_.end(), 0.0f);
    pair_.rank = candidate.rank;
    pair_.scaling = 2;
    pair_.A = A_.data(), pair_.B = B_.data(), pair_.d_A = d_A_.data(), pair_.d_B = d_B_.data();
    segment_ = {0, M_, {&pair_, 1}};
  }
  Layer(const Layer&) = delete;

  void forward() { backend_.lora_linear_forward(M_, x_.data(), {&target_, 1}, segments()); }
  void backward() { backend_.lora_linear_backward(M_, x_.data(), {&target_, 1}, segments(), d_x_.data()); }

  double flop(int times_lora) const {
    return 2.0 * static_cast<double>(M_) *
           (static_cast<double>(K_) * static_cast<double>(N_) + times_lora * pair_.rank * static_cast<double>(K_ + N_));
  }

  /// Some elements of y and d_x again, from h and d_h as the layer's own formula gives them.
  double worst_error(RandomWords& words) {
    double worst = 0;
    std::vector<float> row(static_cast<size_t>(std::max(K_, N_)));
    for (int look = 0; look < 24; ++look) {
      const int64_t m = static_cast<int64_t>(words.next() % static_cast<uint64_t>(M_));
      const int64_t n = static_cast<int64_t>(words.next() % static_cast<uint64_t>(N_));
      CheckedSum y;
      decode(W_, n * K_, K_, row.data());
      for (int64_t k = 0; k < K_; ++k) y.add(x_[m * K_ + k] * row[static_cast<size_t>(k)]);
      for (int r = 0; r < pair_.rank; ++r) {
        CheckedSum h;
        for (int64_t k = 0; k < K_; ++k) h.add(x_[m * K_ + k] * A_[static_cast<size_t>(r * K_ + k)]);
        y.add(pair_.scaling * h.sum * B_[static_cast<size_t>(n * pair_.rank + r)]);
      }
      worst = worse(worst, y.error(y_[m * N_ + n]));

      const int64_t k = static_cast<int64_t>(words.next() % static_cast<uint64_t>(K_));
      CheckedSum d_x;
      for (int64_t i = 0; i < N_; ++i) {
        float w;
        decode(W_, i * K_ + k, 1, &w);
        d_x.add(d_y_[m * N_ + i] * w);
      }
      for (int r = 0; r < pair_.rank; ++r) {
        CheckedSum d_h;
        for (int64_t i = 0; i < N_; ++i) d_h.add(pair_.scaling * d_y_[m * N_ + i] * B_[static_cast<size_t>(i * pair_.rank + r)]);
        d_x.add(d_h.sum * A_[static_cast<size_t>(r * K_ + k)]);
      }
      worst = worse(worst, d_x.error(d_x_[m * K_ + k]));
    }
    return worst;
  }

 private:
  std::span<const Segment> segments() const { return {&segment_, pair_.rank > 0 ? 1u : 0u}; }

  int64_t M_, K_, N_;
  Backend& backend_;
  Matrix W_;
  BenchActivations x_, y_, h_, d_y_, d_x_;
  AlignedBuffer<float> A_, B_, d_A_, d_B_;
  LoraPair pair_;
  Segment segment_;
  LinearTarget target_;
};

}  // namespace

KernelReport bench_lora_linear(const LinearBench& bench) {
  RandomWords words(1);
  const std::unique_ptr<Backend> backend = make_cpu_backend(bench.compute, bench.threads);
  std::vector<std::unique_ptr<Layer>> layers;
  KernelReport report;
  for (const LinearBench::Candidate& candidate : bench.candidates) {
    Layer& layer = *layers.emplace_back(std::make_unique<Layer>(bench, candidate, words, *backend));
    layer.forward();
    layer.backward();
    report.worst_error = worse(report.worst_error, layer.worst_error(words));
    report.forward_flop.push_back(layer.flop(1));
    report.backward_flop.push_back(layer.flop(2));
  }
  for (int i = 0; i < bench.rounds; ++i) {
    KernelRound& round = report.rounds.emplace_back();
    round.roof_one = measure_cpu_roof(bench.compute, 1, roof_seconds);
    round.roof = bench.threads == 1 ? round.roof_one : measure_cpu_roof(bench.compute, bench.threads, roof_seconds);
    for (const std::unique_ptr<Layer>& layer : layers) {
      round.forward.push_back(seconds_of([&] { layer->forward(); }, call_seconds));
      round.backward.push_back(seconds_of([&] { layer->backward(); }, call_seconds));
    }
  }
  return report;
}

}  // namespace fedlora
