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

template <class Unit>
struct Product {
  int64_t k;
  const Unit* a;
  int64_t a_row, a_k;  // strides of A in units
  const Unit* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  bool add;  // C += instead of C =
};

template <int R, int N, class Unit>
inline void product_tile(const Product<Unit>& p, int64_t m, int64_t n) {
  Vec acc[R][N];
  float* c = p.c + m * p.c_stride + n;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) acc[r][v] = p.add ? load(c + r * p.c_stride + v * W) : broadcast(0);
  const Unit* a = p.a + m * p.a_row;
  const Unit* b = p.b + n;
  const int64_t a_row = p.a_row, a_k = p.a_k, b_stride = p.b_stride;
  for (int64_t k = p.k; k > 0; --k, a += a_k, b += b_stride) {
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

template <int N, class Unit>
inline void product_columns(const Product<Unit>& p, int64_t rows, int64_t n) {
  const int64_t tiles = (rows + product_rows - 1) / product_rows;
  for (int64_t tile = 0, m = 0; tile < tiles; ++tile) {
    const int64_t height = (rows - m + tiles - tile - 1) / (tiles - tile);  // near-equal heights
    switch (height) {
      case 1:
        product_tile<1, N>(p, m, n);
        break;
      case 2:
        product_tile<2, N>(p, m, n);
        break;
      case 3:
        product_tile<3, N>(p, m, n);
        break;
      case 4:
        product_tile<4, N>(p, m, n);
        break;
      case 5:
        product_tile<5, N>(p, m, n);
        break;
      default:
        product_tile<6, N>(p, m, n);
        break;
    }
    m += height;
  }
}

/// C has `rows` rows and `vectors`·W columns.
template <class Unit>
static void multiply(const Product<Unit>& p, int64_t rows, int64_t vectors) {
  for (int64_t v = 0; v < vectors;) {
    const int64_t left = vectors - v, count = left < product_vectors ? left : product_vectors;
    switch (count) {
      case 1:
        product_columns<1>(p, rows, v * W);
        break;
      case 2:
        product_columns<2>(p, rows, v * W);
        break;
      case 3:
        product_columns<3>(p, rows, v * W);
        break;
      default:
        product_columns<4>(p, rows, v * W);
        break;
    }
    v += count;
  }
}
