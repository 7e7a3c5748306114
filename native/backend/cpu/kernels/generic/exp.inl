/// e^x = 2ⁿ·e^r, n = round(x / ln 2), r = x − n·ln 2 with ln 2 in two parts (Cody & Waite 1980), e^r by a polynomial on |r| ≤ ln 2 / 2.
/// Coefficients: the Taylor series to r⁷; its truncation is below 2⁻²⁷ there.

inline Vec exp(Vec x) {
  // Beyond these the result is 0 or ∞ anyway; the clamps keep n in range. max/min return their second operand on NaN, so NaN passes.
  const Vec clamped = minimum(broadcast(90.0f), maximum(broadcast(-105.0f), x));
  const Vec n = round_nearest(clamped * broadcast(1.44269504f));
  Vec r = fma(n, broadcast(-0.693359375f), clamped);  // 11 bits: n·hi is exact
  r = fma(n, broadcast(2.12194440e-4f), r);
  Vec p = broadcast(1.0f / 5040.0f);
  p = fma(p, r, broadcast(1.0f / 720.0f));
  p = fma(p, r, broadcast(1.0f / 120.0f));
  p = fma(p, r, broadcast(1.0f / 24.0f));
  p = fma(p, r, broadcast(1.0f / 6.0f));
  p = fma(p, r, broadcast(0.5f));
  p = fma(p * r, r, r) + broadcast(1.0f);
  return scale_by_power(p, n);
}

static void exp_f32(const float* x, float* y, int64_t count) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store(y + i, exp(load(x + i)));
  if (i < count) store_tail(y + i, exp(load_tail(x + i, count - i)), count - i);
}
