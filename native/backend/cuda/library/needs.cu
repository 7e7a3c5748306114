#include "backend/cuda/library/needs.h"

#include "backend/cuda/launch/attention.h"

namespace fedlora::cuda {

OwnBytes needs(const Context&, const PassSize& pass) {
  // The longest array is one of 32-bit numbers, one a token.
  const size_t staging = Staging::bytes_for(static_cast<size_t>(pass.tokens) * sizeof(int32_t));
  const size_t attention = attention_backward_workspace(pass.tokens, pass.heads);
  return {staging + attention, 0};
}

}  // namespace fedlora::cuda
