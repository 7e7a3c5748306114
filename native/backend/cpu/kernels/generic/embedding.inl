/// y = s·x: a row of the embedding table in f32.

template <class T>
static void scale_row(const T* x, float s, float* y, int64_t count) {
  const Vec scale = broadcast(s);
  int64_t i = 0;
  for (; i + W <= count; i += W) store(y + i, load(x + i) * scale);
  if (i < count) store_tail(y + i, load_tail(x + i, count - i) * scale, count - i);
}

constexpr auto scale_row_f32 = &scale_row<float>;
constexpr auto scale_row_bf16 = &scale_row<bf16>;

/// y += x (ops.def: embedding_add).
template <class T>
static void add_row(const T* x, float* y, int64_t count) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store(y + i, load(y + i) + load(x + i));
  if (i < count) store_tail(y + i, load_tail(y + i, count - i) + load_tail(x + i, count - i), count - i);
}

constexpr auto add_row_f32 = &add_row<float>;
constexpr auto add_row_bf16 = &add_row<bf16>;
