/// A block of Llama's shape: seven linear layers without biases, a norm before each half.
#pragma once
#include "model/description.h"

namespace fedlora {

/// Of the model's sizes. `names`: of q, k, v, o, gate, up and down, after the prefix.
inline BlockSpec llama_block(const Description& d, const std::string& prefix, const char* const (&names)[linears_per_layer]) {
  const auto linear = [&](int place, int64_t N, int64_t K) { return LinearSpec{prefix + names[place], N, K}; };
  BlockSpec block;
  block.before_attention = {prefix + "input_layernorm", d.hidden};
  block.before_mlp = {prefix + "post_attention_layernorm", d.hidden};
  block.attention.in = {linear(0, d.query_width(), d.hidden), linear(1, d.kv_width(), d.hidden), linear(2, d.kv_width(), d.hidden)};
  block.attention.out = linear(3, d.hidden, d.query_width());
  block.mlp.in = {linear(4, d.intermediate, d.hidden), linear(5, d.intermediate, d.hidden)};
  block.mlp.out = linear(6, d.hidden, d.intermediate);
  return block;
}

/// Places of a block's linear layers, where they are separate.
enum LinearPlace { linear_q, linear_k, linear_v, linear_o, linear_gate, linear_up, linear_down };

/// The linear layer at a place, to be changed.
inline LinearSpec& linear_at(BlockSpec& block, int place) {
  if (place < 3) return block.attention.in[static_cast<size_t>(place)];
  if (place == 3) return block.attention.out;
  return place < 6 ? block.mlp.in[static_cast<size_t>(place - 4)] : block.mlp.out;
}

}  // namespace fedlora
