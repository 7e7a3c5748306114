/// The residual stream without a norm (ops.def: residual_add), and a factor on what is added to it (scale).

template <class T>
static void residual_add(int64_t count, float* x, const T* delta, T* copy) {
  int64_t i = 0;
  for (; i + W <= count; i += W) add_delta(x + i, delta ? delta + i : nullptr, copy ? copy + i : nullptr);
  if (i == count) return;
  Vec value = load_tail(x + i, count - i);
  if (delta) value = value + load_tail(delta + i, count - i);
  store_tail(x + i, value, count - i);
  if (copy) store_tail(copy + i, value, count - i);
}

template <class T>
static void scale_in_place(int64_t count, float s, T* x) {
  const Vec factor = broadcast(s);
  int64_t i = 0;
  for (; i + W <= count; i += W) store(x + i, load(x + i) * factor);
  if (i < count) store_tail(x + i, load_tail(x + i, count - i) * factor, count - i);
}

constexpr auto residual_add_f32 = &residual_add<float>;
constexpr auto residual_add_bf16 = &residual_add<bf16>;
constexpr auto scale_in_place_f32 = &scale_in_place<float>;
constexpr auto scale_in_place_bf16 = &scale_in_place<bf16>;
