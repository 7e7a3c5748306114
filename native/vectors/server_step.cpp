// Lengths are checked here, tiles shared out to threads.
#include "vectors/server_step.h"

#include "base/error.h"
#include "vectors/kernels.h"
#include "vectors/ranges.h"
#include "vectors/server_step_body.h"

namespace fedlora {

namespace {
using Step64 = void (*)(double*, const double*, double*, double*, int64_t, const StepSizes&);

template <ServerRule rule>
void step64(double* x, const double* mean, double* moment1, double* moment2, int64_t count, const StepSizes& sizes) {
  step_body::step<rule>(x, mean, moment1, moment2, count, sizes);
}

constexpr Step64 steps64[server_rules] = {step64<ServerRule::momentum>, step64<ServerRule::nesterov>, step64<ServerRule::adam>,
                                          step64<ServerRule::yogi>, step64<ServerRule::adagrad>};

template <class T>
bool overlap(std::span<const T> a, std::span<const T> b) {
  return a.data() < b.data() + b.size() && b.data() < a.data() + a.size();
}

void same_length(const char* what, size_t got, size_t expected) {
  if (got != expected) fail(Code::E_SHAPE, "server step: %s has %zu values, the vector %zu", what, got, expected);
}
}  // namespace

int moments_of(ServerRule rule) { return rule == ServerRule::momentum || rule == ServerRule::nesterov ? 1 : 2; }

template <class T>
void server_step(ServerRule rule, std::span<T> x, std::span<const T> mean, std::span<T> moment1, std::span<T> moment2,
                 const StepSizes& sizes, ThreadPool* pool) {
  const bool second = moments_of(rule) == 2;
  same_length("the mean", mean.size(), x.size());
  same_length("moment1", moment1.size(), x.size());
  if (second) same_length("moment2", moment2.size(), x.size());
  const std::span<const T> written[] = {x, moment1, second ? moment2 : std::span<T>()};
  for (size_t i = 0; i < 3; ++i) {
    bool shared = overlap(written[i], mean);
    for (size_t j = 0; j < i; ++j) shared = shared || overlap(written[i], written[j]);
    if (shared) fail(Code::E_ARGUMENT, "server step: vector, mean and moments share memory; give each its own");
  }
  const auto step = [&] {
    if constexpr (sizeof(T) == sizeof(double))
      return steps64[static_cast<int>(rule)];
    else
      return vector_kernels().step[static_cast<int>(rule)];
  }();
  const Range whole{0, static_cast<int64_t>(x.size())};
  for_each_tile({&whole, 1}, pool, [&](Range tile) {
    T* const v = second ? moment2.data() + tile.begin : nullptr;
    step(x.data() + tile.begin, mean.data() + tile.begin, moment1.data() + tile.begin, v, tile.end - tile.begin, sizes);
  });
}

template void server_step(ServerRule, std::span<float>, std::span<const float>, std::span<float>, std::span<float>, const StepSizes&,
                          ThreadPool*);
template void server_step(ServerRule, std::span<double>, std::span<const double>, std::span<double>, std::span<double>, const StepSizes&,
                          ThreadPool*);

}  // namespace fedlora
