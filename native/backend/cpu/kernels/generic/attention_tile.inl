/// Small matrix products for attention:   C[m,n] (+)= Σ_k A[m,k]·B[k,n]   over units of 32 bits.
///
/// A unit is one f32, or two bf16 that are neighbours along k (dot_pairs). A is read one unit at a time (any strides, so that a transposed
/// operand needs no copy), B in vectors of W units, C is f32 in registers: a tile of `product_rows` × `product_vectors`.
/// Every element of C is one chain over k: tiling does not change a bit.

constexpr int product_rows = W == 1 ? 4 : 6;
constexpr int product_vectors = W == 8 ? 2 : 4;

template <class Element>
struct UnitOf;
template <>
struct UnitOf<float> {
  using type = float;
};
template <>
struct UnitOf<bf16> {
  using type = uint32_t;
};
/// Elements of one unit.
template <class Element>
constexpr int64_t per_unit = static_cast<int64_t>(4 / sizeof(Element));
template <class Unit>
struct UnitSize {
  static constexpr int64_t elements = 2;
};
template <>
struct UnitSize<float> {
  static constexpr int64_t elements = 1;
};

/// What a kernel over activations T multiplies in.
template <class T>
struct MultiplyAs {
  using type = float;
};
template <>
struct MultiplyAs<bf16> {
  using type = DotElement;
};

inline Vec dot_unit(Vec acc, float a, const float* b) { return fma(broadcast(a), load(b), acc); }
template <class Unit>
inline Vec dot_unit(Vec acc, Unit a, const Unit* b) {
  return dot_pairs(acc, a, b);
}

/// Where a block lies on the diagonal of causal attention, half of a product is zero and is not computed:
/// columns_from_row: C[m,n] wanted for n ≥ m only; steps_to_row: A[m,k] is zero for k > m; steps_from_row: A[m,k] is zero for k < m.
enum class Triangle { none, columns_from_row, steps_to_row, steps_from_row };

template <class Unit>
struct Product {
  int64_t k;  // units
  const Unit* a;
  int64_t a_row, a_k;  // strides of A in units
  const Unit* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  bool add;  // C += instead of C =
  Triangle triangle;
  const float* shrink = nullptr;  // C[m,:] = shrink[m]·C[m,:] + … when adding
};

template <int R, int N, class Unit>
inline void product_tile(const Product<Unit>& p, int64_t m, int64_t n, int64_t first_k, int64_t last_k) {
  Vec acc[R][N];
  float* c = p.c + m * p.c_stride + n;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) acc[r][v] = p.add ? load(c + r * p.c_stride + v * W) : broadcast(0);
  if (p.shrink) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) acc[r][v] = acc[r][v] * broadcast(p.shrink[m + r]);
  }
  const int64_t a_row = p.a_row, a_k = p.a_k, b_stride = p.b_stride;
  const Unit* a = p.a + m * a_row + first_k * a_k;
  const Unit* b = p.b + n + first_k * b_stride;
  for (int64_t k = first_k; k < last_k; ++k, a += a_k, b += b_stride) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) acc[r][v] = dot_unit(acc[r][v], a[r * a_row], b + v * W);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) store(c + r * p.c_stride + v * W, acc[r][v]);
}

template <int R, class Unit>
inline void product_rows_of(const Product<Unit>& p, int64_t m, int64_t vectors) {
  constexpr int64_t per = UnitSize<Unit>::elements;
  int64_t v = 0, first_k = 0, last_k = p.k;
  if (p.triangle == Triangle::columns_from_row) v = m / W;
  if (p.triangle == Triangle::steps_from_row) first_k = m / per;
  if (p.triangle == Triangle::steps_to_row && (m + R + per - 1) / per < last_k) last_k = (m + R + per - 1) / per;
  while (v < vectors) {
    const int64_t left = vectors - v;
    if (left >= 4 && product_vectors >= 4) {
      product_tile<R, product_vectors>(p, m, v * W, first_k, last_k);
      v += product_vectors;
    } else if (left >= 3 && product_vectors >= 3) {
      product_tile < R, product_vectors<3 ? 1 : 3>(p, m, v * W, first_k, last_k);
      v += 3;
    } else if (left >= 2) {
      product_tile<R, 2>(p, m, v * W, first_k, last_k);
      v += 2;
    } else {
      product_tile<R, 1>(p, m, v * W, first_k, last_k);
      v += 1;
    }
  }
}

/// C has `rows` rows and `vectors`·W columns.
template <class Unit>
static void multiply(const Product<Unit>& p, int64_t rows, int64_t vectors) {
  const int64_t tiles = (rows + product_rows - 1) / product_rows;
  for (int64_t tile = 0, m = 0; tile < tiles; ++tile) {
    const int64_t height = (rows - m + tiles - tile - 1) / (tiles - tile);  // near-equal heights
    switch (height) {
      case 1:
        product_rows_of<1>(p, m, vectors);
        break;
      case 2:
        product_rows_of<2>(p, m, vectors);
        break;
      case 3:
        product_rows_of<3>(p, m, vectors);
        break;
      case 4:
        product_rows_of<4>(p, m, vectors);
        break;
      case 5:
        product_rows_of<5>(p, m, vectors);
        break;
      default:
        product_rows_of<6>(p, m, vectors);
        break;
    }
    m += height;
  }
}
