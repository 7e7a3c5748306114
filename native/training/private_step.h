/// What makes a step differentially private: Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1.
///
///   g_i = ∇ mean loss of example i        g = (Σ_i g_i · min(1, C/‖g_i‖) + σ·C·z) / L        z standard normal
///
/// over what is trained; the norm is the 2-norm of all of it. L is the number of examples that a draw has on average, never the number
/// drawn, which tells whether somebody was in it; a draw of no example adds noise like every other.
#pragma once
#include "base/chacha20.h"

namespace fedlora {

struct PrivateStep {
  double clip = 0;               // C; may be infinite without noise
  double noise_multiplier = 0;   // σ
  double expected_examples = 0;  // L
  ChaChaKey key = {};            // of the noise; serves this step alone
};

/// Examples of a step, the most: they number the dropout masks.
inline constexpr int64_t most_examples = 1 << 20;

/// E_ARGUMENT for a clip or L that is not above 0 or a σ below 0, or an infinite one where none can be.
void check(const PrivateStep& privacy);

}  // namespace fedlora
