/// Timings of single operators, each beside this machine's peak: for `fedlora bench kernels`. The peak drifts and so does the machine,
/// so a round measures the peak on one thread and on all, then every candidate once; the caller judges rounds and takes medians.
///
/// Every bench also checks what it timed: some elements of the results are computed again in double from the same operands.
#pragma once
#include <functional>
#include <vector>

#include "backend/ops.h"

namespace fedlora {

struct KernelRound {
  double roof_one = 0, roof = 0;          // flop/s on one thread and on all
  std::vector<double> forward, backward;  // seconds of a call, a candidate
};

struct KernelReport {
  std::vector<KernelRound> rounds;
  std::vector<double> forward_flop, backward_flop;  // of a call, a candidate
  /// The largest |got − expected| / Σ|terms| over the elements looked at. Rounding of the operands explains about 2^-8 (bf16) or 2^-20.
  double worst_error = 0;
};

/// One layer with one adapter: x [M,K] → y [M,N] and back, all gradients wanted.
struct LinearBench {
  struct Candidate {
    Format format;
    int rank;  // 0: no adapter
  };
  int64_t M, K, N;
  Compute compute;
  int threads, rounds;
  std::vector<Candidate> candidates;
};
/// flop: forward 2·M·K·N + 2·M·R·(K + N), backward 2·M·K·N + 4·M·R·(K + N).
KernelReport bench_lora_linear(const LinearBench& bench);

/// Causal attention over `sequences` rows of `length` tokens.
struct AttentionBench {
  int64_t sequences, length;
  AttentionShape shape;
  Compute compute;
  int threads, rounds;
};
/// flop: of the pairs that a causal row sees, L·(L + 1) / 2 (fewer with a window): forward 4·H·D a pair, backward 10·H·D.
KernelReport bench_attention(const AttentionBench& bench);

/// Seconds of one call: of the first when it takes `least_seconds`, else the mean of as many further ones as fill them.
double seconds_of(const std::function<void()>& call, double least_seconds);

inline constexpr double roof_seconds = 0.02, call_seconds = 0.02;

}  // namespace fedlora
