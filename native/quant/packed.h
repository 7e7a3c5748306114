/// How large a packed weight is, before it exists, and an empty one to fill. matrix.h says what its buffers hold.
#pragma once
#include "quant/matrix.h"

namespace fedlora {

/// Elements of each buffer of W [N, K]. `block` and `nested` concern nf4 and fp4 only.
struct PackedSizes {
  size_t data = 0;           // uint8
  size_t absmax = 0;         // float
  size_t nested_absmax = 0;  // uint8
  size_t nested_scale = 0;   // float
  size_t bytes() const { return data + nested_absmax + sizeof(float) * (absmax + nested_scale); }
};

/// Throws E_SHAPE for extents below 1 or a product beyond 2^58.
PackedSizes packed_sizes(Format format, int64_t N, int64_t K, int block, bool nested);

/// Matrix::bytes() of W [N, K] in this form.
inline size_t packed_bytes(Format format, int64_t N, int64_t K, int block, bool nested) {
  return packed_sizes(format, N, K, block, nested).bytes();
}

/// W [N, K] of zero bytes. Throws E_SHAPE, E_MEMORY.
Matrix make_matrix(Format format, int64_t N, int64_t K, int block, bool nested);

}  // namespace fedlora
