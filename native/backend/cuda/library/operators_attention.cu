// Attention: the tile list is made on the host and staged; equal lists, as every layer's, are sent once.
#include "backend/cuda/launch/attention.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace {

/// A staged list and its length.
View<const AttentionTile> staged_tiles(Context& context, const AttentionShape& shape, View<const int64_t> offsets) {
  const std::vector<AttentionTile> tiles =
      attention_tiles({offsets.data, static_cast<size_t>(offsets.size)}, attention_tile_rows(context.queue, shape, context.element()));
  const View<const AttentionTile> list{tiles.data(), static_cast<int64_t>(tiles.size())};
  return {context.staging.send(list), list.size};
}

}  // namespace

namespace operators {

void attention_forward(Context& context, const AttentionShape* shape, View<const int64_t> offsets, ConstActivation q, ConstActivation k,
                       ConstActivation v, Activation o, float* lse) {
  const View<const AttentionTile> tiles = staged_tiles(context, *shape, offsets);
  cuda::attention_forward(context.queue, *shape, tiles.size, tiles.data, q, k, v, o, lse, context.element());
}

void attention_backward(Context& context, const AttentionShape* shape, View<const int64_t> offsets, ConstActivation q, ConstActivation k,
                        ConstActivation v, ConstActivation o, const float* lse, ConstActivation d_o, Activation d_q, Activation d_k,
                        Activation d_v) {
  const View<const AttentionTile> tiles = staged_tiles(context, *shape, offsets);
  const int64_t M = offsets.size == 0 ? 0 : offsets[offsets.size - 1];
  void* workspace = context.workspace.reserve(attention_backward_workspace(M, *shape, context.element()));
  cuda::attention_backward(context.queue, *shape, M, tiles.size, tiles.data, q, k, v, o, lse, d_o, d_q, d_k, d_v, context.element(),
                           workspace);
}

void attention_decode(Context& context, const AttentionShape* shape, int64_t T, ConstActivation q, ConstActivation keys,
                      ConstActivation values, Activation o) {
  cuda::attention_decode(context.queue, *shape, T, q, keys, values, o, context.element());
}

}  // namespace operators

void fill_attention(Operators& table) {
  FED_OPERATOR(table, attention_forward);
  FED_OPERATOR(table, attention_backward);
  FED_OPERATOR(table, attention_decode);
}

}  // namespace fedlora::cuda
