#include "backend/cuda/library/needs.h"

#include <algorithm>

#include "backend/cuda/launch/attention.h"
#include "backend/cuda/launch/cross_entropy.h"

namespace fedlora::cuda {

OwnBytes needs(const Context& context, const PassSize& pass) {
  // The longest array is one of 32-bit numbers, one a token.
  const size_t staging = Staging::bytes_for(static_cast<size_t>(pass.tokens) * sizeof(int32_t));
  // The operators take turns in one workspace. Of linear layers the two widest (gate and up) may have to be decoded at once; factors and
  // what passes through them are small beside that.
  const size_t slabs = 2 * static_cast<size_t>(context.largest_slab);
  const size_t layers =
      std::max(attention_backward_workspace(pass.tokens, {pass.heads, pass.kv_heads, pass.head_dim, 1, 0}, context.element()), slabs);
  const DeviceMatrix head{context.compute == Compute::bf16 ? Format::bf16 : Format::f32, pass.vocabulary, 1, 0, nullptr, nullptr};
  const size_t loss = cross_entropy_workspace(pass.supervised, head, context.element(), true);
  return {staging + layers, loss > layers ? loss - layers : 0};
}

}  // namespace fedlora::cuda
