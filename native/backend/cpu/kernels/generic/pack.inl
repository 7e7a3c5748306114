/// Decoded weights into panels (linear_types.h). The source of pack_rows is scratch memory of the caller's: its rows may be read up to 2·W
/// elements past their end, and what lies there is arbitrary, except that the partner of an odd last k must be zero.

/// Rows of x become columns of the panel: a W×W transposition of dwords. T is what a dword holds: a float, or bf16 pairs; bf16 where the
/// panel holds floats is widened on the way.
template <class Operand, class T>
static void pack_rows(const T* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  const int64_t steps = (k + Operand::per_step - 1) / Operand::per_step;
  for (int64_t column = 0; column < columns; column += W)
    for (int64_t step = 0; step < steps; step += W) {
      Vec rows[W];
      for (int i = 0; i < W; ++i) {
        const T* from = x + (column + i) * x_stride + step * Operand::per_step;
        if (column + i >= columns)
          rows[i] = broadcast(0);
        else if constexpr (Operand::per_step == 2)
          rows[i] = load_dwords(from);
        else
          rows[i] = load(from);
      }
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

/// Rows of x become steps of the panel: pairs of bf16 rows are interleaved, nothing is transposed.
template <class Operand>
static void pack_columns(const typename Operand::Element* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel,
                         int64_t panel_stride) {
  for (int64_t step = 0; Operand::per_step * step < k; ++step) {
    const auto* row0 = x + Operand::per_step * step * x_stride;
    const auto* row1 = Operand::per_step * step + 1 < k ? row0 + x_stride : nullptr;
    uint32_t* out = panel + step * panel_stride;
    int64_t column = 0;
    for (; column + W <= columns; column += W)
      store_dwords(out + column, Operand::right_rows(row0 + column, row1 ? row1 + column : nullptr));
    if (column < columns)
      store_dwords(out + column, Operand::right_rows_tail(row0 + column, row1 ? row1 + column : nullptr, columns - column));
  }
}
static void pack_columns_f32(const float* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  pack_columns<F32Operand>(x, x_stride, columns, k, panel, panel_stride);
}
static void pack_columns_bf16(const bf16* x, int64_t x_stride, int64_t columns, int64_t k, uint32_t* panel, int64_t panel_stride) {
  pack_columns<Bf16Operand>(x, x_stride, columns, k, panel, panel_stride);
}
