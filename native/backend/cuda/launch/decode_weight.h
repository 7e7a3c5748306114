/// A frozen matrix as the products of gemm.h read it.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

/// Whether the matrix is stored in `element` and needs no decoding.
constexpr bool is_plain(const DeviceMatrix& matrix, Element element) {
  return matrix.format == (element == Element::bf16 ? Format::bf16 : Format::f32);
}
/// Bytes of the decoded matrix; 0 when it is_plain.
constexpr int64_t decoded_bytes(const DeviceMatrix& matrix, Element element) {
  return is_plain(matrix, element) ? 0 : matrix.N * matrix.K * width_of(element);
}
/// The matrix [N, K] in `element`: itself, or decoded into `slab` (decoded_bytes, aligned to 16). Reads 0.5 to 4 bytes an element and
/// writes width_of(element).
const void* decode_weight(const Queue& queue, const DeviceMatrix& matrix, Element element, void* slab);

}  // namespace fedlora::cuda
