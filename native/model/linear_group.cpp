#include "model/sublayers.h"

namespace fedlora {

namespace {
constexpr size_t most_targets = 3;

LinearTarget target_of(const Pass& pass, int64_t layer, int place) {
  const LayerWeights& weights = pass.layer(layer);
  const Buffer<float>& bias = weights.bias[place];
  LinearTarget target;
  target.W = &weights.linear[place];
  target.bias = bias.empty() ? nullptr : bias.data();
  target.h = pass.block(layer).h[place];
  target.h_stride = h_stride(pass.shape.ranks[static_cast<size_t>(layer * linears_per_layer + place)]);
  return target;
}
}  // namespace

void linear_forward(const Pass& pass, int64_t layer, LinearGroup group, ConstActivation x, std::initializer_list<Activation> y) {
  LinearTarget targets[most_targets];
  size_t count = 0;
  for (Activation output : y) {
    targets[count] = target_of(pass, layer, group.first + static_cast<int>(count));
    targets[count++].y = output;
  }
  const std::span<const Segment> segments = pass.pairs.call(layer, group);
  if (pass.rows == Rows::one)
    pass.backend.lora_linear_decode(x, {targets, count}, segments.empty() ? std::span<const LoraPair>() : segments.front().pairs);
  else
    pass.backend.lora_linear_forward(pass.M(), x, {targets, count}, segments);
}

void linear_backward(const Pass& pass, int64_t layer, LinearGroup group, ConstActivation x, std::initializer_list<ConstActivation> d_y,
                     Activation d_x) {
  LinearTarget targets[most_targets];
  size_t count = 0;
  for (ConstActivation gradient : d_y) {
    targets[count] = target_of(pass, layer, group.first + static_cast<int>(count));
    targets[count++].d_y = gradient;
  }
  pass.backend.lora_linear_backward(pass.M(), x, {targets, count}, pass.pairs.call(layer, group), d_x);
}

}  // namespace fedlora
