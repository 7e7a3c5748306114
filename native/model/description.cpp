#include "model/description.h"

#include <limits>

#include "base/error.h"

namespace fedlora {

std::span<const LinearSpec> BlockSpec::group(const LinearGroup& group) const {
  if (group.index == attention_in.index) return attention.in;
  if (group.index == attention_out.index) return {&attention.out, 1};
  if (group.index == mlp_in.index) return mlp.in;
  return {&mlp.out, 1};
}

const LinearSpec& BlockSpec::linear(int place) const {
  static const LinearSpec absent;
  for (const LinearGroup& each : linear_groups) {
    const std::span<const LinearSpec> members = group(each);
    const int index = place - each.first;
    if (index >= 0 && index < each.most) return index < static_cast<int>(members.size()) ? members[static_cast<size_t>(index)] : absent;
  }
  return absent;
}

namespace {

void positive(const char* field, int64_t value) {
  if (value <= 0 || value > std::numeric_limits<int32_t>::max())
    fail(Code::E_CONFIG, "%s is %lld, expected a positive 32-bit number", field, static_cast<long long>(value));
}

void check_linear(const LinearSpec& linear, int64_t N, int64_t K) {
  if (linear.N != N || linear.K != K)
    fail(Code::E_CONFIG, "linear layer %s is [%lld, %lld], expected [%lld, %lld] from the model's sizes", linear.module.c_str(),
         static_cast<long long>(linear.N), static_cast<long long>(linear.K), static_cast<long long>(N), static_cast<long long>(K));
}

void check_block(const Description& d, size_t index) {
  const BlockSpec& block = d.layers[index];
  if (block.attention.rope < -1 || block.attention.rope >= static_cast<int>(d.ropes.size()))
    fail(Code::E_CONFIG, "layer %zu names rope %d of %zu", index, block.attention.rope, d.ropes.size());
  if (block.attention.window < 0)
    fail(Code::E_CONFIG, "layer %zu has the window %d, expected 0 (all) or more", index, block.attention.window);
  if (block.attention.in.size() != 3 || block.mlp.in.size() != 2)
    fail(Code::E_CONFIG, "layer %zu has %zu linear layers before attention and %zu at the MLP's entry, expected 3 and 2", index,
         block.attention.in.size(), block.mlp.in.size());
  check_linear(block.attention.in[0], d.query_width(), d.hidden);
  check_linear(block.attention.in[1], d.kv_width(), d.hidden);
  check_linear(block.attention.in[2], d.kv_width(), d.hidden);
  check_linear(block.attention.out, d.hidden, d.query_width());
  for (const LinearSpec& in : block.mlp.in) check_linear(in, d.intermediate, d.hidden);
  check_linear(block.mlp.out, d.hidden, d.intermediate);
  for (int place = 0; place < linears_per_layer; ++place)
    if (!block.linear(place).present()) fail(Code::E_CONFIG, "layer %zu has a linear layer without a name", index);
}

}  // namespace

void check_consistent(const Description& d) {
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
  for (size_t i = 0; i < d.layers.size(); ++i) check_block(d, i);
}

void check_supported(const Description& d) {
  const auto refuse = [&](bool unsupported, const char* trait) {
    if (unsupported) fail(Code::E_UNSUPPORTED, "model family '%s' needs %s, which this engine does not run yet", d.family.c_str(), trait);
  };
  refuse(d.norm != NormKind::rms, "LayerNorm");
  refuse(d.attention_soft_cap != 0 || d.logit_soft_cap != 0, "soft-capping");
  refuse(d.residual_multiplier != 1, "a residual multiplier");
  refuse(d.transposed_linears, "transposed linear weights");
  refuse(d.learned_positions, "learned positions");
  for (const BlockSpec& block : d.layers) {
    refuse(block.after_attention.present() || block.after_mlp.present(), "norms after the sublayers");
    refuse(!block.before_attention.present() || !block.before_mlp.present(), "a sublayer without a norm before it");
    for (const NormSpec* norm : {&block.attention.q_norm, &block.attention.k_norm})
      refuse(norm->present() && norm->width != d.head_dim, "a norm over whole query and key projections");
  }
}

const Description& checked(const Description& description) {
  check_consistent(description);
  check_supported(description);
  return description;
}

}  // namespace fedlora
