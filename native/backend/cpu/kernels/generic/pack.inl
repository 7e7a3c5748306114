/// Decoded weights into panels (linear_types.h). The source is scratch memory of the caller's: its rows may be read up to 2·W elements past
/// their end, and what lies there is arbitrary, except that pack_rows wants zero as the partner of an odd last k.

/// Rows of x become columns of the panel: a W×W transposition of dwords (pairs of bf16 travel as one).
template <class Operand>
static void pack_rows(const typename Operand::Element* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  const int64_t steps = (k + Operand::per_step - 1) / Operand::per_step;
  for (int64_t column = 0; column < columns; column += W)
    for (int64_t step = 0; step < steps; step += W) {
      Vec rows[W];
      for (int i = 0; i < W; ++i)
        rows[i] = column + i < columns ? load_dwords(x + (column + i) * x_stride + step * Operand::per_step) : broadcast(0);
      transpose(rows);
      const int64_t count = steps - step < W ? steps - step : W;
      uint32_t* out = panel + step * panel_stride + column;
      if (count == W)
        for (int i = 0; i < W; ++i) store_dwords(out + i * panel_stride, rows[i]);
      else
        for (int i = 0; i < count; ++i) store_dwords(out + i * panel_stride, rows[i]);
    }
}
static void pack_rows_f32(const float* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  pack_rows<F32Operand>(x, x_stride, columns, k, panel, panel_stride);
}
static void pack_rows_bf16(const bf16* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  pack_rows<Bf16Operand>(x, x_stride, columns, k, panel, panel_stride);
}

/// Rows of x become steps of the panel: for bf16 two rows are interleaved, nothing is transposed.
static void pack_columns_f32(const float* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  for (int64_t step = 0; step < k; ++step)
    for (int64_t column = 0; column < columns; column += W)
      store_dwords(panel + step * panel_stride + column, load_dwords(x + step * x_stride + column));
}
static void pack_columns_bf16(const bf16* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  for (int64_t step = 0; 2 * step < k; ++step) {
    const bf16* row0 = x + 2 * step * x_stride;
    const bf16* row1 = 2 * step + 1 < k ? row0 + x_stride : nullptr;
    for (int64_t column = 0; column < columns; column += W)
      store_pairs(panel + step * panel_stride + column, row0 + column, row1 ? row1 + column : nullptr);
  }
}
