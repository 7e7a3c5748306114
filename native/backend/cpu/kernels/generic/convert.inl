/// Between f32 and bf16, element by element.

static void widen_bf16(const bf16* x, float* y, int64_t count) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store(y + i, load(x + i));
  if (i < count) store_tail(y + i, load_tail(x + i, count - i), count - i);
}

static void round_bf16(const float* x, bf16* y, int64_t count) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store(y + i, load(x + i));
  if (i < count) store_tail(y + i, load_tail(x + i, count - i), count - i);
}
