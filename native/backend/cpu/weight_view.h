/// A frozen weight, or a float matrix of an adapter, as the decode kernels read it.
#pragma once
#include <bit>

#include "backend/cpu/kernels/linear_types.h"
#include "quant/codebook.h"
#include "quant/matrix.h"

namespace fedlora {

/// The view lives as long as the matrix.
inline WeightView view_of(const Matrix& matrix) {
  WeightView view;
  view.format = matrix.format;
  view.N = matrix.N;
  view.K = matrix.K;
  view.data = matrix.data.data();
  view.absmax = matrix.absmax.data();
  if (is_4bit(matrix.format)) {
    view.block_shift = std::countr_zero(static_cast<unsigned>(matrix.block));
    view.codebook = codebook_of(matrix.format).data();
    if (matrix.nested()) {
      view.nested_absmax = matrix.nested_absmax.data();
      view.nested_scale = matrix.nested_scale.data();
      view.nested_offset = matrix.nested_offset;
      view.dynamic_map = dynamic_map.data();
    }
  }
  return view;
}

/// scale × values, [N,K] row-major.
inline WeightView view_of(const float* values, int64_t N, int64_t K, float scale) {
  WeightView view;
  view.N = N;
  view.K = K;
  view.data = reinterpret_cast<const uint8_t*>(values);
  view.scale = scale;
  return view;
}

}  // namespace fedlora
