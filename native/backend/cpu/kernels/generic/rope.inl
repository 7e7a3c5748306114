/// Rotary positions (ops.def: rope): pairs (i, i + P/2) of every head, P = rotary ≤ D, turn by the row's angle.   a' = a·c − b·s   b' = b·c
/// + a·s

template <class T>
static void rope_rows(int64_t rows, int64_t heads, int64_t D, int64_t rotary, const int32_t* positions, const float* cosine,
                      const float* sine, float sign, T* x) {
  const int64_t half = rotary / 2;
  const Vec turn = broadcast(sign);
  for (int64_t row = 0; row < rows; ++row) {
    const float* c_row = cosine + positions[row] * half;
    const float* s_row = sine + positions[row] * half;
    for (int64_t head = 0; head < heads; ++head, x += D) {
      T* first = x;
      T* second = x + half;
      int64_t i = 0;
      for (; i + W <= half; i += W) {
        const Vec a = load(first + i), b = load(second + i), c = load(c_row + i), s = load(s_row + i) * turn;
        store(first + i, fma(a, c, negate(b * s)));
        store(second + i, fma(b, c, a * s));
      }
      if (i < half) {
        const int64_t n = half - i;
        const Vec a = load_tail(first + i, n), b = load_tail(second + i, n), c = load_tail(c_row + i, n),
                  s = load_tail(s_row + i, n) * turn;
        store_tail(first + i, fma(a, c, negate(b * s)), n);
        store_tail(second + i, fma(b, c, a * s), n);
      }
    }
  }
}

constexpr auto rope_f32 = &rope_rows<float>;
constexpr auto rope_bf16 = &rope_rows<bf16>;
