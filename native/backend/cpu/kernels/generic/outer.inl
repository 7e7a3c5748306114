/// out[r][c] += Σ_m left(m,r)·right[m,c]: the sum runs over rows. For a block of rows and a strip of columns the right side is laid out
/// once as a small panel in the first cache (pairs of rows interleaved), then every group of ranks passes over it; sums rest in `out`
/// between blocks. A strip's lines lie a whole row apart, which no hardware prefetcher follows: the next strip is fetched while this one is
/// used.

constexpr int64_t outer_rows = 128;  // a block; even, so that pairs of rows never straddle two blocks

template <class Operand>
static void outer_strip(const OuterCall& call, const uint32_t* panel, int64_t steps, const uint32_t* left, int64_t rank, int64_t column) {
  constexpr int ranks = outer_ranks, vecs = outer_vecs;
  const int64_t columns = call.columns - column;
  float* out[ranks];
  bool any = false;
  for (int r = 0; r < ranks; ++r) {
    out[r] = rank + r < call.rank ? call.out[rank + r] : nullptr;
    any = any || out[r] != nullptr;
  }
  if (!any) return;
  Vec sum[ranks][vecs];
#pragma GCC unroll 16
  for (int r = 0; r < ranks; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vecs; ++v) {
      const int64_t n = columns - v * W;
      const float* from = out[r] + column + v * W;
      sum[r][v] = out[r] == nullptr || n <= 0 ? broadcast(0) : n >= W ? load(from) : load_tail(from, n);
    }
  left += rank;
  for (int64_t step = 0; step < steps; ++step, panel += vecs * W, left += call.left_stride) {
    typename Operand::Value right[vecs];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; ++v) right[v] = Operand::right(panel + v * W);
#pragma GCC unroll 16
    for (int r = 0; r < ranks; ++r) {
      const typename Operand::Value l = Operand::left(reinterpret_cast<const typename Operand::Left*>(left + r));
#pragma GCC unroll 4
      for (int v = 0; v < vecs; ++v) sum[r][v] = Operand::multiply_add(l, right[v], sum[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ranks; ++r) {
    if (out[r] == nullptr) continue;
#pragma GCC unroll 4
    for (int v = 0; v < vecs; ++v) {
      const int64_t n = columns - v * W;
      float* to = out[r] + column + v * W;
      if (n >= W)
        store(to, sum[r][v]);
      else if (n > 0)
        store_tail(to, sum[r][v], n);
    }
  }
}

template <class Operand>
static void outer(const OuterCall& call) {
  using Element = typename Operand::Element;
  constexpr int64_t strip = outer_vecs * W;
  alignas(64) uint32_t panel[outer_rows * strip];
  for (int64_t row = 0; row < call.rows; row += outer_rows) {
    const int64_t rows = call.rows - row < outer_rows ? call.rows - row : outer_rows;
    const int64_t steps = (rows + Operand::per_step - 1) / Operand::per_step;
    const uint32_t* left = call.left + row / Operand::per_step * call.left_stride;
    for (int64_t column = 0; column < call.columns; column += strip) {
      const int64_t columns = call.columns - column;
      const Element* right = static_cast<const Element*>(call.right) + row * call.right_stride + column;
      pack_columns<Operand>(right, call.right_stride, columns < strip ? columns : strip, rows, panel, strip);
      if (columns > strip)
        for (int64_t m = 0; m < rows; ++m) prefetch(right + m * call.right_stride + strip);
      for (int64_t rank = 0; rank < call.rank; rank += outer_ranks) outer_strip<Operand>(call, panel, steps, left, rank, column);
    }
  }
}
static void outer_f32(const OuterCall& call) { outer<F32Operand>(call); }
static void outer_bf16(const OuterCall& call) { outer<Bf16Operand>(call); }
