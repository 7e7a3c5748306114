/// How a model family's layers are built: the native mirror of `ModelDescription` in src/native/binding/description.ts.
/// It can say more than the engine runs today; `check_supported` refuses the rest by name.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "backend/ops.h"

namespace fedlora {

enum class NormKind { rms, layer };
enum class NormPlacement { before, after, both };
enum class QueryKeyNorm { none, head, projection };

/// The linear layers of one block, in forward order.
enum Linear { linear_q, linear_k, linear_v, linear_o, linear_gate, linear_up, linear_down, linears_per_layer };

struct LayerDescription {
  int window = 0;  // keys a query sees, itself included; 0: all
  int rope = 0;    // index into Description::ropes; -1: no rotation
  std::string input_norm, attention_output_norm, mlp_input_norm, mlp_output_norm;
  std::string q_norm, k_norm;
  std::string linear[linears_per_layer];  // module names without ".weight"; empty: absent
  std::string qkv, gate_up;               // fused matrices, split while loading
  bool attention_bias = false, output_bias = false, mlp_bias = false;

  bool has_bias(int index) const { return index <= linear_v ? attention_bias : index == linear_o ? output_bias : mlp_bias; }
};

struct RopeDescription {
  std::vector<float> inverse_frequencies;  // [D/2]
  float attention_factor = 1;              // multiplies cosine and sine
};

struct Description {
  std::string family;
  int64_t vocabulary = 0, hidden = 0, intermediate = 0, max_positions = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;
  NormKind norm = NormKind::rms;
  float norm_epsilon = 1e-5f, norm_offset = 0;
  NormPlacement norm_placement = NormPlacement::before;
  QueryKeyNorm query_key_norm = QueryKeyNorm::none;
  Activate activation = Activate::silu;
  bool gated = true;
  float attention_scale = 1, attention_soft_cap = 0, logit_soft_cap = 0;
  float embedding_multiplier = 1, residual_multiplier = 1, logits_divider = 1;
  bool tied_head = false, transposed_linears = false, learned_positions = false;
  std::vector<RopeDescription> ropes;
  std::vector<LayerDescription> layers;
  std::string embedding, positions, final_norm, head;

  int64_t query_width() const { return static_cast<int64_t>(heads) * head_dim; }
  int64_t kv_width() const { return static_cast<int64_t>(kv_heads) * head_dim; }
  /// [N, K] of a linear layer.
  int64_t out_features(int index) const;
  int64_t in_features(int index) const;
};

/// Sizes are positive and agree; otherwise E_CONFIG.
void check_consistent(const Description& description);
/// E_UNSUPPORTED, naming the first trait that the engine cannot run yet.
void check_supported(const Description& description);
/// The description itself, when both checks let it pass.
const Description& checked(const Description& description);

}  // namespace fedlora
