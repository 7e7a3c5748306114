#include "model/description.h"

#include <algorithm>
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
  for (const int rope : {block.attention.rope, block.attention.query_rope})
    if (rope < -1 || rope >= static_cast<int>(d.ropes.size()))
      fail(Code::E_CONFIG, "layer %zu names rope %d of %zu", index, rope, d.ropes.size());
  if (block.attention.window < 0)
    fail(Code::E_CONFIG, "layer %zu has the window %d, expected 0 (all) or more", index, block.attention.window);
  const std::vector<LinearSpec>&projections = block.attention.in, &entries = block.mlp.in;
  if ((projections.size() != 3 && projections.size() != 1) || (entries.size() != 2 && entries.size() != 1))
    fail(Code::E_CONFIG, "layer %zu has %zu linear layers before attention and %zu at the MLP's entry, expected 3 or 1, and 2 or 1", index,
         projections.size(), entries.size());
  if (projections.size() == 1) {
    check_linear(projections[0], d.query_width() + 2 * d.kv_width(), d.hidden);
  } else {
    check_linear(projections[0], d.query_width(), d.hidden);
    check_linear(projections[1], d.kv_width(), d.hidden);
    check_linear(projections[2], d.kv_width(), d.hidden);
  }
  check_linear(block.attention.out, d.hidden, d.query_width());
  if (!d.gated && entries.size() != 1) fail(Code::E_CONFIG, "layer %zu has two linear layers at the entry of an MLP without gate", index);
  if (block.attention.by_head && (projections.size() != 1 || d.heads != d.kv_heads))
    fail(Code::E_CONFIG, "layer %zu has queries, keys and values head by head, expected one matrix and as many of each", index);
  for (const LinearSpec& in : entries) check_linear(in, d.gated && entries.size() == 1 ? 2 * d.intermediate : d.intermediate, d.hidden);
  check_linear(block.mlp.out, d.hidden, d.intermediate);
  for (const LinearGroup& group : linear_groups)
    for (const LinearSpec& linear : block.group(group))
      if (!linear.present()) fail(Code::E_CONFIG, "layer %zu has a linear layer without a name", index);
}

/// Buffers are laid out by what the first layer has (step_buffers.cpp).
void check_alike(const Description& d, size_t index) {
  const BlockSpec &first = d.layers.front(), &block = d.layers[index];
  const auto alike = [](const NormSpec& a, const NormSpec& b) {
    return a.present() == b.present() && (!a.present() || a.width == b.width);
  };
  if (block.attention.in.size() != first.attention.in.size() || block.mlp.in.size() != first.mlp.in.size() ||
      !alike(block.after_attention, first.after_attention) || !alike(block.after_mlp, first.after_mlp) ||
      !alike(block.attention.q_norm, first.attention.q_norm) || !alike(block.attention.k_norm, first.attention.k_norm))
    fail(Code::E_CONFIG, "layer %zu has other norms or another number of linear layers than layer 0, expected the same in all", index);
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
  if (d.position_offset < 0 || d.position_offset > 65536)
    fail(Code::E_CONFIG, "positions begin at row %lld", static_cast<long long>(d.position_offset));
  if (d.head_dim > 256) fail(Code::E_CONFIG, "head_dim is %d, expected at most 256", d.head_dim);
  if (d.heads > 4096 || d.layers.size() > 4096)
    fail(Code::E_CONFIG, "%d heads in %zu layers is out of range (at most 4096 each)", d.heads, d.layers.size());
  if (!d.alibi_slopes.empty() && d.alibi_slopes.size() != static_cast<size_t>(d.heads))
    fail(Code::E_CONFIG, "%zu slopes of ALiBi for %d heads", d.alibi_slopes.size(), d.heads);
  for (const float slope : d.alibi_slopes)
    if (!(slope > 0 && slope <= 1024)) fail(Code::E_CONFIG, "a slope of ALiBi is %g, expected above 0", static_cast<double>(slope));
  for (const RopeDescription& rope : d.ropes) {
    const size_t count = rope.inverse_frequencies.size(), long_count = rope.long_inverse_frequencies.size();
    if (count == 0 || static_cast<int64_t>(count) > d.head_dim / 2)
      fail(Code::E_CONFIG, "rope has %zu frequencies, expected 1 to head_dim / 2 = %d", count, d.head_dim / 2);
    if (long_count != 0 && long_count != count)
      fail(Code::E_CONFIG, "rope has %zu frequencies for long rows, expected as many as the others: %zu", long_count, count);
    if (rope.original_positions < 0 || rope.temperature_positions < 1) fail(Code::E_CONFIG, "rope changes at a position below 1");
  }
  for (size_t i = 0; i < d.layers.size(); ++i) {
    check_block(d, i);
    check_alike(d, i);
  }
}

void check_supported(const Description& d) {
  const auto refuse = [&](bool unsupported, const char* trait) {
    if (unsupported) fail(Code::E_UNSUPPORTED, "model family '%s' needs %s, which this engine does not run yet", d.family.c_str(), trait);
  };
  for (const BlockSpec& block : d.layers) {
    const bool after = block.after_attention.present() || block.after_mlp.present(),
               inside = block.attention.q_norm.present() || block.attention.k_norm.present();
    refuse(d.norm == NormKind::layer && (after || inside), "LayerNorm after a half or of queries and keys");
    refuse(d.parallel && (after || !block.before_attention.present() || d.residual_multiplier != 1),
           "parallel halves without a norm before attention, with norms after them or with a residual multiplier");
  }
  refuse(!d.alibi_slopes.empty() && d.attention_soft_cap > 0, "ALiBi with soft caps");
}

bool rotated_anew(const Description& d, int64_t length) {
  return std::any_of(d.ropes.begin(), d.ropes.end(), [&](const RopeDescription& rope) {
    return !rope.long_inverse_frequencies.empty() && length == rope.original_positions + 1;
  });
}

std::vector<std::string> further_traits(const Description& d) {
  std::vector<std::string> traits;
  const auto add = [&](bool asked, const char* trait) {
    if (asked && (traits.empty() || traits.back() != trait)) traits.push_back(trait);
  };
  add(d.attention_soft_cap > 0 || d.logit_soft_cap > 0, "soft caps");
  add(d.residual_multiplier != 1, "a residual multiplier");
  add(d.norm == NormKind::layer, "LayerNorm");
  add(!d.gated, "an MLP without gate");
  add(d.activation == Activate::gelu, "the exact gelu");
  add(d.parallel, "parallel halves");
  add(d.head_bias, "a bias of the head");
  add(!d.positions.empty(), "learned positions");
  add(!d.alibi_slopes.empty(), "ALiBi");
  add(!d.embedding_norm.empty(), "a norm of embeddings");
  for (const RopeDescription& rope : d.ropes) add(rope.rotary_dim() != d.head_dim, "a rotation of a part of each head");
  const auto any = [&](auto asks) { return std::any_of(d.layers.begin(), d.layers.end(), asks); };
  add(any([&](const BlockSpec& block) { return block.attention.in.size() == 1 || (d.gated && block.mlp.in.size() == 1); }),
      "fused projections");
  add(any([&](const BlockSpec& block) { return !d.parallel && (!block.before_attention.present() || !block.before_mlp.present()); }),
      "sublayers without a norm before them");
  return traits;
}

const Description& checked(const Description& description) {
  check_consistent(description);
  check_supported(description);
  return description;
}

}  // namespace fedlora
