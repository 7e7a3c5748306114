/// out[r][c] += Σ_m left(m,r)·right[m,c]: the sum runs over rows, so both sides are read as they lie and bf16 rows are paired in registers.
/// A block of rows passes over all columns while its lines stay near; sums rest in `out` between blocks.

template <class Operand, int VECS>
static void outer_tile(const OuterCall& call, int64_t row, int64_t rows, int64_t rank, int64_t column) {
  using Element = typename Operand::Element;
  using Value = typename Operand::Value;
  constexpr int ranks = outer_ranks;
  const int64_t columns = call.columns - column;
  const bool full = columns >= VECS * W;
  Vec sum[ranks][VECS];
  for (int r = 0; r < ranks; ++r)
    for (int v = 0; v < VECS; ++v) {
      const int64_t n = columns - v * W;
      const bool wanted = rank + r < call.rank && call.out[rank + r] != nullptr && n > 0;
      const float* from = wanted ? call.out[rank + r] + column + v * W : nullptr;
      sum[r][v] = !wanted ? broadcast(0) : n >= W ? load(from) : load_tail(from, n);
    }

  const int64_t steps = (rows + Operand::per_step - 1) / Operand::per_step;
  const Element* right = static_cast<const Element*>(call.right) + row * call.right_stride + column;
  const uint32_t* left = call.left + row / Operand::per_step * call.left_stride + rank;
  for (int64_t step = 0; step < steps; ++step, right += Operand::per_step * call.right_stride, left += call.left_stride) {
    const bool both = Operand::per_step * (step + 1) <= rows;
    const Element* row1 = Operand::per_step == 2 && both ? right + call.right_stride : nullptr;
    prefetch(right + VECS * W);
    if (Operand::per_step == 2) prefetch(right + call.right_stride + VECS * W);
    Value x[VECS];
    for (int v = 0; v < VECS; ++v) {
      const Element* next = row1 ? row1 + v * W : nullptr;
      x[v] = full ? Operand::right_rows(right + v * W, next) : Operand::right_rows_tail(right + v * W, next, columns);
    }
    for (int r = 0; r < ranks; ++r) {
      const Value l = Operand::left(reinterpret_cast<const typename Operand::Left*>(left + r));
      for (int v = 0; v < VECS; ++v) sum[r][v] = Operand::multiply_add(l, x[v], sum[r][v]);
    }
  }

  for (int r = 0; r < ranks; ++r) {
    if (rank + r >= call.rank || call.out[rank + r] == nullptr) continue;
    for (int v = 0; v < VECS; ++v) {
      float* to = call.out[rank + r] + column + v * W;
      const int64_t n = columns - v * W;
      if (n >= W) store(to, sum[r][v]);
      else if (n > 0) store_tail(to, sum[r][v], n);
    }
  }
}

template <class Operand>
static void outer(const OuterCall& call) {
  constexpr int64_t block = 128;  // even: pairs of rows never straddle two blocks
  for (int64_t row = 0; row < call.rows; row += block) {
    const int64_t rows = call.rows - row < block ? call.rows - row : block;
    int64_t column = 0;
    for (; column + outer_vecs * W <= call.columns; column += outer_vecs * W)
      for (int64_t rank = 0; rank < call.rank; rank += outer_ranks) outer_tile<Operand, outer_vecs>(call, row, rows, rank, column);
    for (; column < call.columns; column += W)
      for (int64_t rank = 0; rank < call.rank; rank += outer_ranks) outer_tile<Operand, 1>(call, row, rows, rank, column);
  }
}
static void outer_f32(const OuterCall& call) { outer<F32Operand>(call); }
static void outer_bf16(const OuterCall& call) { outer<Bf16Operand>(call); }
