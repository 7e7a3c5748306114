/// Soft caps (Gemma 2):   c = cap·tanh(z / cap),   dc/dz = 1 − (c / cap)².
/// tanh x = x + x³·p(x²) for |x| < 0.65, p fitted by least squares at Chebyshev points; sign(x)·(1 − 2 / (e^(2|x|) + 1)) beyond. Within 3
/// ulp.

inline Vec tanh(Vec x) {
  const Vec size = absolute(x), square = x * x;
  Vec p = broadcast(-0.005514524877f);
  p = fma(p, square, broadcast(0.020468397066f));
  p = fma(p, square, broadcast(-0.053687471896f));
  p = fma(p, square, broadcast(0.133308187127f));
  p = fma(p, square, broadcast(-0.333332598209f));
  const Vec near_zero = fma(x * square, p, x);
  const Vec beyond = broadcast(1.0f) - broadcast(2.0f) / (exp(size + size) + broadcast(1.0f));
  return select(less(size, broadcast(0.65f)), near_zero, select(less(x, broadcast(0.0f)), negate(beyond), beyond));
}

/// cap·tanh(scale·z / cap).
inline Vec soft_capped(Vec z, float scale, float cap) { return broadcast(cap) * tanh(z * broadcast(scale / cap)); }

/// 1 − (c / cap)². A masked score, −∞, gives 0.
inline Vec soft_cap_slope_of(Vec c, float cap) {
  const Vec t = maximum(c, broadcast(-cap)) * broadcast(1.0f / cap);
  return fma(negate(t), t, broadcast(1.0f));
}

static void soft_cap(int64_t count, float cap, float* x) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store(x + i, soft_capped(load(x + i), 1.0f, cap));
  if (i < count) store_tail(x + i, soft_capped(load_tail(x + i, count - i), 1.0f, cap), count - i);
}

template <class T>
static void soft_cap_slope(int64_t rows, int64_t columns, float cap, const float* x, T* e, int64_t e_stride) {
  for (int64_t row = 0; row < rows; ++row, x += columns, e += e_stride) {
    int64_t i = 0;
    for (; i + W <= columns; i += W) store(e + i, load(e + i) * soft_cap_slope_of(load(x + i), cap));
    if (i < columns) {
      const int64_t n = columns - i;
      store_tail(e + i, load_tail(e + i, n) * soft_cap_slope_of(load_tail(x + i, n), cap), n);
    }
  }
}

constexpr auto soft_cap_slope_f32 = &soft_cap_slope<float>;
constexpr auto soft_cap_slope_bf16 = &soft_cap_slope<bf16>;
