#include "model/description.h"

#include <limits>

#include "base/error.h"

namespace fedlora {

int64_t Description::out_features(int index) const {
  switch (index) {
    case linear_q:
      return query_width();
    case linear_k:
    case linear_v:
      return kv_width();
    case linear_gate:
    case linear_up:
      return intermediate;
    default:
      return hidden;
  }
}

int64_t Description::in_features(int index) const {
  switch (index) {
    case linear_o:
      return query_width();
    case linear_down:
      return intermediate;
    default:
      return hidden;
  }
}

void check_consistent(const Description& d) {
  const auto positive = [&](const char* field, int64_t value) {
    if (value <= 0 || value > std::numeric_limits<int32_t>::max())
      fail(Code::E_CONFIG, "%s is %lld, expected a positive 32-bit number", field, static_cast<long long>(value));
  };
  positive("vocabulary", d.vocabulary);
  positive("hidden", d.hidden);
  positive("intermediate", d.intermediate);
  positive("heads", d.heads);
  positive("kvHeads", d.kv_heads);
  positive("headDim", d.head_dim);
  positive("layers", static_cast<int64_t>(d.layers.size()));
  if (d.heads % d.kv_heads != 0) fail(Code::E_CONFIG, "%d query heads cannot share %d key-value heads evenly", d.heads, d.kv_heads);
  if (d.head_dim > 256) fail(Code::E_CONFIG, "head_dim is %d, expected at most 256", d.head_dim);
  if (d.heads > 4096 || d.layers.size() > 4096)
    fail(Code::E_CONFIG, "%d heads in %zu layers is out of range (at most 4096 each)", d.heads, d.layers.size());
  for (const RopeDescription& rope : d.ropes)
    if (static_cast<int>(rope.inverse_frequencies.size()) * 2 != d.head_dim)
      fail(Code::E_CONFIG, "rope has %zu frequencies, expected head_dim / 2 = %d", rope.inverse_frequencies.size(), d.head_dim / 2);
  for (size_t i = 0; i < d.layers.size(); ++i) {
    if (d.layers[i].rope < -1 || d.layers[i].rope >= static_cast<int>(d.ropes.size()))
      fail(Code::E_CONFIG, "layer %zu names rope %d of %zu", i, d.layers[i].rope, d.ropes.size());
    if (d.layers[i].window < 0) fail(Code::E_CONFIG, "layer %zu has the window %d, expected 0 (all) or more", i, d.layers[i].window);
  }
}

void check_supported(const Description& d) {
  const auto refuse = [&](bool unsupported, const char* trait) {
    if (unsupported) fail(Code::E_UNSUPPORTED, "model family '%s' needs %s, which this engine does not run yet", d.family.c_str(), trait);
  };
  refuse(d.norm != NormKind::rms, "LayerNorm");
  refuse(d.norm_placement != NormPlacement::before, "norms after the sublayers");
  refuse(d.query_key_norm == QueryKeyNorm::projection, "a norm over whole query and key projections");
  refuse(!d.gated, "an MLP without gate");
  refuse(d.attention_soft_cap != 0 || d.logit_soft_cap != 0, "soft-capping");
  refuse(d.residual_multiplier != 1, "a residual multiplier");
  refuse(d.transposed_linears, "transposed linear weights");
  refuse(d.learned_positions, "learned positions");
  for (const LayerDescription& layer : d.layers) {
    refuse(!layer.qkv.empty() || !layer.gate_up.empty(), "fused query-key-value or gate-up matrices");
    for (const std::string& name : layer.linear) refuse(name.empty(), "a block without one of its seven linear layers");
  }
}

const Description& checked(const Description& description) {
  check_consistent(description);
  check_supported(description);
  return description;
}

}  // namespace fedlora
