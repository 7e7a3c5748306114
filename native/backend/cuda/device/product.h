/// Sums of matrix products as kernels take them.
#pragma once
#include <cstdint>

namespace fedlora::cuda {

/// How the right operand of a product lies.
enum class Right { rows, columns };

/// left [M, depth] times right: `rows`, right [N, depth] transposed (x·Wᵀ), or `columns`, right [depth, N] (d_y·W). Row-major, strides in
/// elements from one row to the next; the elements are those of the activations.
struct Product {
  const void* left = nullptr;
  int64_t left_stride = 0;
  const void* right = nullptr;
  int64_t right_stride = 0;
  int64_t depth = 0;
  Right lies = Right::rows;
};

inline constexpr int most_products = 12;

/// Added in order, as one sum over the depths end to end.
struct ProductList {
  Product items[most_products];
  int count = 0;
};

/// What becomes of a sum: out [M, N] = scale·sum + bias[n], rows `stride` elements apart.
struct Finish {
  void* out;
  int64_t stride;
  float scale;
  const float* bias;  // [N] or null
};

}  // namespace fedlora::cuda
