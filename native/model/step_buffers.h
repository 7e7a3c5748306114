/// The memory plan of one micro-batch: every buffer with its shape, laid out in one arena before the first operator runs.
/// The same code sizes the plan (`base == nullptr`) and places the pointers.
#pragma once
#include <cstdint>
#include <vector>

#include "backend/ops.h"
#include "model/description.h"

namespace fedlora {

/// What backward recomputes instead of reading: nothing; gate and up (two of seven products); or the whole block from its input.
enum class Recompute { none, gate_up, all };

struct StepShape {
  int64_t tokens = 0;      // M
  int64_t supervised = 0;  // rows that reach the head at once
  bool training = false;   // backward follows
  Recompute recompute = Recompute::none;
  Compute compute = Compute::f32;
  std::vector<int> ranks;  // [layers × linears_per_layer] largest rank among the segments, 0: not adapted
};

/// What forward leaves for backward in one block. Activation unless noted. Blocks that are recomputed share one set.
struct SavedBlock {
  float* x_entry = nullptr;                              // f32 [M, hidden] the residual stream at entry; only with Recompute::all
  Activation x1 = nullptr;                               // [M, hidden] input of the first norm, or of what stands in its place
  float* rstd1 = nullptr;                                // f32 [M], of LayerNorm [M,2]: as rstd2 and rstd_final
  Activation q_raw = nullptr, k_raw = nullptr;           // [M, H·D], [M, G·D] before their norm; only with one
  float *q_rstd = nullptr, *k_rstd = nullptr;            // f32, one for each row of the norm
  Activation q = nullptr, k = nullptr, v = nullptr;      // after rotation
  Activation o = nullptr;                                // [M, H·D] attention output
  float* lse = nullptr;                                  // f32 [M, H, 2]
  Activation attended = nullptr, down = nullptr;         // [M, hidden] sublayer outputs before the norms after them; only with such
  float *attended_rstd = nullptr, *down_rstd = nullptr;  // f32 [M]
  Activation x2 = nullptr;                               // [M, hidden] input of the second norm; x1 itself where halves are parallel
  float* rstd2 = nullptr;                                // f32 [M]
  Activation gate = nullptr, up = nullptr;               // [M, intermediate]; without a gate `gate` alone
  Activation h[linears_per_layer] = {};                  // [M, ranks[…]] x·Aᵀ
};

struct StepBuffers {
  std::vector<SavedBlock> blocks;  // [layers]
  float* x = nullptr;              // f32 [M, hidden] residual stream
  Activation normed = nullptr;     // [M, hidden] norm output
  Activation delta = nullptr;      // [M, hidden] sublayer output, not yet added to x
  Activation hidden = nullptr;     // [M, intermediate] activate(gate)∘up
  Activation fused = nullptr;      // [M, widest fused projection] what it gives, then its gradient; only with one
  float* d_x = nullptr;            // gradient of the residual stream; lies over x, which forward leaves behind
  Activation d_delta = nullptr;    // d_x rounded: what a sublayer's output projection backpropagates; lies over delta
  Activation d_input = nullptr;    // [M, max(intermediate, H·D, hidden)] gradient of what a projection read
  Activation d_q = nullptr, d_k = nullptr, d_v = nullptr;
  Activation x_final = nullptr;    // [M, hidden] input of the final norm
  float* rstd_final = nullptr;     // f32 [M]
  Activation head_rows = nullptr;  // [supervised, hidden]
  float* losses = nullptr;         // f32 [supervised]
  uint8_t* correct = nullptr;      // [supervised]

  size_t saved_bytes = 0, workspace_bytes = 0, total_bytes = 0;

  static StepBuffers place(const Description& description, const StepShape& shape, uint8_t* base);
};

/// Row stride of h for a rank: a multiple of 8, so that rows begin at multiples of 16 bytes, which is how devices fetch them.
constexpr int64_t h_stride(int rank) { return (rank + 7) / 8 * 8; }

}  // namespace fedlora
