/// The server's step: from the mean update Δ of a round to the next vector x, element by element, with up to two moments m and v.
///
///   momentum  m = β₁m + Δ              x += η·m                      Hsu, Qi, Brown 2019 (FedAvgM)
///   nesterov  m = β₁m + Δ              x += η·(Δ + β₁m)              Sutskever et al. 2013, in the form of Bengio et al. 2013
///   adam      m = β₁m + (1−β₁)Δ        v = β₂v + (1−β₂)Δ²            Reddi et al. 2021, algorithm 2; here and below
///   yogi      the same m               v = v − (1−β₂)Δ²·sign(v − Δ²)    x += η·m / (√v + ε)
///   adagrad   the same m               v = v + Δ²
///
/// Each element is computed in double and every result rounded once to the vectors' type, float32 or float64; x is made from the moments
/// as they are kept. A step over vectors in float64 is plain arithmetic in double.
#pragma once
#include <span>

#include "base/thread_pool.h"

namespace fedlora {

enum class ServerRule { momentum, nesterov, adam, yogi, adagrad };
inline constexpr int server_rules = 5;

/// How many moments a rule keeps: 1 or 2.
int moments_of(ServerRule rule);

struct StepSizes {
  double rate;  // η, with what corrects a bias
  double beta1;
  double beta2;
  double epsilon;
};

/// One step in place. Throws E_SHAPE unless mean and the moments that the rule keeps are as long as x.
template <class T>
void server_step(ServerRule rule, std::span<T> x, std::span<const T> mean, std::span<T> moment1, std::span<T> moment2,
                 const StepSizes& sizes, ThreadPool* pool = nullptr);

}  // namespace fedlora
