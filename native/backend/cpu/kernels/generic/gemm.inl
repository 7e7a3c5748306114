/// Rows times a panel. A register tile of ROWS × VECS·W sums takes its left side as broadcasts straight from the rows and its right side
/// from the panel. A sum is one chain in the order of k whatever the tile, so a result does not depend on M or on a row's neighbours.

/// The tile's rows of `out`, as T; `columns` from the tile's first column to the end.
template <class T, int ROWS, int VECS>
FEDLORA_INLINE void store_tile(T* out, int64_t stride, int64_t rows, int64_t columns, const Vec (&sum)[ROWS][VECS]) {
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
    if (i >= rows) break;
#pragma GCC unroll 4
    for (int v = 0; v < VECS; ++v) {
      T* to = out + i * stride + v * W;
      if (columns >= VECS * W || columns - v * W >= W)
        store(to, sum[i][v]);
      else
        store_tail(to, sum[i][v], columns - v * W);
    }
  }
}

template <class Operand, int ROWS, int VECS>
static void gemm_tile(const GemmCall& call, int64_t row, int64_t rows, int64_t column) {
  using Left = typename Operand::Left;
  const int64_t columns = call.columns - column;
  Vec sum[ROWS][VECS];
  if (call.carry_in == nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < VECS; ++v) sum[i][v] = broadcast(0);
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) {  // rows past the end repeat the last one and are not stored
      const float* from = call.carry_in + (row + (i < rows ? i : rows - 1)) * call.carry_stride + column;
#pragma GCC unroll 4
      for (int v = 0; v < VECS; ++v) sum[i][v] = columns - v * W >= W ? load(from + v * W) : load_tail(from + v * W, columns - v * W);
    }
  }

  for (int64_t term = 0; term < call.slice_count; ++term) {
    const GemmSlice& slice = call.slices[term];
    const Left* a[ROWS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) a[i] = static_cast<const Left*>(slice.a) + (row + (i < rows ? i : rows - 1)) * slice.a_stride;
    const int64_t whole = slice.k / Operand::per_step, odd = slice.k % Operand::per_step;
    const uint32_t* panel = slice.panel + column * (whole + odd);
    for (int64_t step = 0; step < whole; ++step, panel += VECS * W) {
      typename Operand::Value right[VECS];
#pragma GCC unroll 4
      for (int v = 0; v < VECS; ++v) right[v] = Operand::right(panel + v * W);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; ++i) {
        const typename Operand::Value left = Operand::left(a[i] + step * Operand::per_step);
#pragma GCC unroll 4
        for (int v = 0; v < VECS; ++v) sum[i][v] = Operand::multiply_add(left, right[v], sum[i][v]);
      }
    }
    if constexpr (Operand::per_step == 2)
      if (odd) {
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; ++i) {
          const typename Operand::Value left = Operand::left_single(a[i] + slice.k - 1);
#pragma GCC unroll 4
          for (int v = 0; v < VECS; ++v) sum[i][v] = Operand::multiply_add(left, Operand::right(panel + v * W), sum[i][v]);
        }
      }
  }

  if (call.carry_out != nullptr)
    return store_tile(call.carry_out + row * call.carry_stride + column, call.carry_stride, rows, columns, sum);
  if (call.scale != 1.0f) {
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < VECS; ++v) sum[i][v] = sum[i][v] * broadcast(call.scale);
  }
  if (call.bias != nullptr) {
#pragma GCC unroll 4
    for (int v = 0; v < VECS; ++v) {
      const float* from = call.bias + column + v * W;
      const Vec bias = columns - v * W >= W ? load(from) : load_tail(from, columns - v * W);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; ++i) sum[i][v] = sum[i][v] + bias;
    }
  }
  const int64_t at = row * call.out_stride + column;
  if (call.out_bf16)
    store_tile(static_cast<bf16*>(call.out) + at, call.out_stride, rows, columns, sum);
  else
    store_tile(static_cast<float*>(call.out) + at, call.out_stride, rows, columns, sum);
}

/// Rows [row, end) of one column group, by full tiles and then the smallest tile that holds the rest.
template <class Operand, int VECS>
static void gemm_group(const GemmCall& call, int64_t row, int64_t end, int64_t column) {
  constexpr int full = tile_rows[VECS];
  for (; row < end; row += full) {
    const int64_t rows = end - row;
    if (rows == 1)
      gemm_tile<Operand, 1, VECS>(call, row, rows, column);
    else if (rows == 2)
      gemm_tile<Operand, 2, VECS>(call, row, rows, column);
    else if (full > 4 && rows <= 4)
      gemm_tile<Operand, 4, VECS>(call, row, rows, column);
    else if (full > 8 && rows <= 8)
      gemm_tile<Operand, (full > 8 ? 8 : full), VECS>(call, row, rows, column);
    else
      gemm_tile<Operand, full, VECS>(call, row, rows < full ? rows : full, column);
  }
}

/// Row blocks outside, column groups inside: the rows stay in the first cache while the panel streams from the second.
template <class Operand>
static void gemm(const GemmCall& call) {
  constexpr int64_t group = max_vecs * W, block = 2 * tile_rows[max_vecs];
  const int64_t step = call.columns > group ? block : call.rows;
  for (int64_t row = 0; row < call.rows; row += step) {
    const int64_t end = row + step < call.rows ? row + step : call.rows;
    for (int64_t column = 0; column < call.columns; column += group) {
      const int64_t vecs = (call.columns - column + W - 1) / W;
      if (vecs >= max_vecs)
        gemm_group<Operand, max_vecs>(call, row, end, column);
      else if (vecs == 1)
        gemm_group<Operand, 1>(call, row, end, column);
      else if (vecs == 2)
        gemm_group<Operand, (max_vecs > 2 ? 2 : 1)>(call, row, end, column);
      else
        gemm_group<Operand, (max_vecs > 3 ? 3 : 1)>(call, row, end, column);
    }
  }
}
static void gemm_f32(const GemmCall& call) { gemm<F32Operand>(call); }

/// bf16 rows against a panel of floats: a few rows at a time are widened once for all columns.
[[maybe_unused]] static void gemm_widened(const GemmCall& call) {
  constexpr int64_t block = tile_rows[max_vecs];
  static_assert(block <= widened_rows);
  GemmSlice slices[max_gemm_slices];
  GemmCall part = call;
  part.slices = slices;
  for (int64_t row = 0; row < call.rows; row += block) {
    part.rows = call.rows - row < block ? call.rows - row : block;
    float* to = call.widened;
    for (int64_t term = 0; term < call.slice_count; ++term) {
      const GemmSlice& slice = call.slices[term];
      const int64_t stride = (slice.k + 15) / 16 * 16;
      slices[term] = {to, stride, slice.panel, slice.k};
      for (int64_t i = 0; i < part.rows; ++i, to += stride)
        widen_bf16(static_cast<const bf16*>(slice.a) + (row + i) * slice.a_stride, to, slice.k);
    }
    if (call.carry_in != nullptr) part.carry_in = call.carry_in + row * call.carry_stride;
    if (call.carry_out != nullptr) part.carry_out = call.carry_out + row * call.carry_stride;
    part.out = static_cast<uint8_t*>(call.out) + row * call.out_stride * (call.out_bf16 ? 2 : 4);
    gemm<F32Operand>(part);
  }
}
template <class Operand>
static void gemm_any(const GemmCall& call) {
  if constexpr (Operand::per_step == 2)
    gemm<Operand>(call);
  else
    gemm_widened(call);
}
static void gemm_bf16(const GemmCall& call) { gemm_any<Bf16Operand>(call); }
