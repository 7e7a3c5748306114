#include "backend/cuda/library/needs.h"

namespace fedlora::cuda {

OwnBytes needs(const Context&, const PassSize& pass) {
  // The longest array is one of 32-bit numbers, one a token.
  return {Staging::bytes_for(static_cast<size_t>(pass.tokens) * sizeof(int32_t)), 0};
}

}  // namespace fedlora::cuda
