/// How a model's blocks are built: the native mirror of `ModelDescription` in src/native/binding/description.ts. Specs of linear layers,
/// norms, attention, MLP and block say everything; no code asks for a family.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/ops.h"
#include "model/linear_group.h"

namespace fedlora {

enum class NormKind { rms, layer };

/// y [N] = W [N,K]·x + bias.
struct LinearSpec {
  std::string module;  // its name without ".weight"; empty: absent
  int64_t N = 0, K = 0;
  bool bias = false;
  bool present() const { return !module.empty(); }
};

/// A norm of rows of `width`; kind, epsilon and offset are the model's.
struct NormSpec {
  std::string module;  // empty: absent
  int64_t width = 0;
  bool present() const { return !module.empty(); }
};

struct AttentionSpec {
  std::vector<LinearSpec> in;  // q, k and v; or one matrix whose rows are those of q, then of k, then of v
  bool by_head = false;        // the one matrix has the rows of q, k and v head by head (GPT-NeoX)
  LinearSpec out;
  NormSpec q_norm, k_norm;  // before the rotation: of each head, or of the whole projection, by their width
  int rope = 0;             // index into Description::ropes; -1: no rotation
  int query_rope = 0;       // that of the queries, whose table may have factors of its own
  int window = 0;           // keys a query sees, itself included; 0: all
};

struct MlpSpec {
  std::vector<LinearSpec> in;  // gate and up; or one matrix whose rows are those of gate, then of up; without a gate the one that there is
  LinearSpec out;
};

/// Attention, then MLP:   x += m·after(attention(before(x)))   x += m·after(mlp(before(x))), m the model's residual multiplier. An absent
/// norm leaves what it would take as it is. In parallel:   x += attention(before(x)) + mlp(before(x)), where an absent norm before the MLP
/// is the one before attention.
struct BlockSpec {
  NormSpec before_attention, after_attention, before_mlp, after_mlp;
  AttentionSpec attention;
  MlpSpec mlp;

  /// The linear layers that share an input, in forward order.
  std::span<const LinearSpec> group(const LinearGroup& group) const;
  /// By its place in a block (linear_group.h); one without a module where the block has none there.
  const LinearSpec& linear(int place) const;
};

/// Of the first 2·n dimensions of a head, n the number of frequencies.
struct RopeDescription {
  std::vector<float> inverse_frequencies;  // [n]
  float attention_factor = 1;              // multiplies cosine and sine
  /// Those of rows longer than `original_positions` (LongRoPE, Ding et al. 2024); empty: the same for all rows.
  std::vector<float> long_inverse_frequencies = {};
  int64_t original_positions = 0;
  /// Multiplies cosine and sine by 1 + beta·ln(1 + ⌊position / positions⌋) (Llama 4's attention temperature); beta 0: 1.
  float temperature_beta = 0;
  int64_t temperature_positions = 1;

  int rotary_dim() const { return static_cast<int>(inverse_frequencies.size()) * 2; }
};

struct Description {
  std::string family;
  int64_t vocabulary = 0, hidden = 0, intermediate = 0, max_positions = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;
  NormKind norm = NormKind::rms;
  float norm_epsilon = 1e-5f;
  float norm_offset = 0;  // added to every stored norm weight
  Activate activation = Activate::silu;
  bool gated = true;      // the MLP multiplies activate(gate) by up
  bool parallel = false;  // both halves of a block read the stream at its entry
  bool head_bias = false;
  float attention_scale = 1, attention_soft_cap = 0, logit_soft_cap = 0;
  std::vector<float> alibi_slopes;  // [heads]: slope·(j − i) is added to the score of key j for query i; empty: none
  float embedding_multiplier = 1, residual_multiplier = 1, logits_divider = 1;
  bool tied_head = false;
  bool transposed_linears = false;  // checkpoints store the linear weights as [K,N] (GPT-2's Conv1D)
  int64_t position_offset = 0;      // rows of the table of positions before that of position 0
  std::vector<RopeDescription> ropes;
  std::vector<BlockSpec> layers;
  /// positions: a table added to embeddings; embedding_norm: a norm of what goes into the first block. Empty: none.
  std::string embedding, positions, embedding_norm, final_norm, head;
  /// What a checkpoint may have before the names of its text part ("language_model."), whose other parts are left out; empty: all is text.
  std::vector<std::string> text_prefixes;

  int64_t query_width() const { return static_cast<int64_t>(heads) * head_dim; }
  int64_t kv_width() const { return static_cast<int64_t>(kv_heads) * head_dim; }
};

/// True where a sequence of `length` rows is rotated by other frequencies than one of `length` − 1: keys kept from it are no longer right.
bool rotated_anew(const Description& description, int64_t length);
/// Sizes are positive and agree, block by block; otherwise E_CONFIG.
void check_consistent(const Description& description);
/// E_UNSUPPORTED, naming the first trait that the engine cannot run yet.
void check_supported(const Description& description);
/// What it asks for beyond the shape that every backend runs (Llama's), by name: Need::traits.
std::vector<std::string> further_traits(const Description& description);
/// The description itself, when both checks let it pass.
const Description& checked(const Description& description);

}  // namespace fedlora
