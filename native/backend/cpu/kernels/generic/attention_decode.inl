/// Attention of one new query row against cached keys and values, one head:   p = softmax(scale·K·q + slope·(j − i))    o = Vᵀ·p
/// Bound by reading the cache, so the products are plain.

template <class T>
static void attention_decode(const AttentionDecodeTask<T>* task) {
  const int64_t D = task->head_dim, length = task->length;
  const T* q = task->q;
  const T* keys = task->keys;
  float* p = task->scratch;
  float* sum = task->scratch + length;
  float top = -__builtin_inff();
  for (int64_t j = 0; j < length; ++j) {
    p[j] = dot_row(q, keys + j * task->kv_stride, D) * task->scale;
    if (task->slope > 0) p[j] += task->slope * static_cast<float>(j + 1 - length);
    top = p[j] > top ? p[j] : top;
  }
  if (task->soft_cap > 0) {
    soft_cap(length, task->soft_cap, p);
    top = -__builtin_inff();
    for (int64_t j = 0; j < length; ++j) top = p[j] > top ? p[j] : top;
  }
  const Vec shift = broadcast(top);
  Vec total = broadcast(0);
  int64_t j = 0;
  for (; j + W <= length; j += W) {
    const Vec e = exp(load(p + j) - shift);
    store(p + j, e);
    total = total + e;
  }
  float rest = 0;
  if (j < length) {
    store_tail(p + j, exp(load_tail(p + j, length - j) - shift), length - j);
    for (; j < length; ++j) rest += p[j];
  }
  const float inverse = 1.0f / (reduce_add(total) + rest);
  for (int64_t d = 0; d < D; ++d) sum[d] = 0;
  const T* value = task->values;
  for (j = 0; j < length; ++j, value += task->kv_stride) {
    const Vec weight = broadcast(p[j] * inverse);
    int64_t d = 0;
    for (; d + W <= D; d += W) store(sum + d, fma(weight, load(value + d), load(sum + d)));
    if (d < D) store_tail(sum + d, fma(weight, load_tail(value + d, D - d), load_tail(sum + d, D - d)), D - d);
  }
  T* o = task->o;
  int64_t d = 0;
  for (; d + W <= D; d += W) store(o + d, load(sum + d));
  if (d < D) store_tail(o + d, load_tail(sum + d, D - d), D - d);
}

/// out = Σ of `count` rows of D, `stride` apart, first to last: a kv head's gradient from its query heads' shares.
template <class T>
static void sum_rows(int64_t count, int64_t D, const float* x, int64_t stride, T* out) {
  for (int64_t d = 0; d < D; d += W) {
    const int64_t n = D - d < W ? D - d : W;
    Vec sum = n == W ? load(x + d) : load_tail(x + d, n);
    for (int64_t i = 1; i < count; ++i) sum = sum + (n == W ? load(x + i * stride + d) : load_tail(x + i * stride + d, n));
    n == W ? store(out + d, sum) : store_tail(out + d, sum, n);
  }
}

constexpr auto attention_decode_f32 = &attention_decode<float>;
constexpr auto attention_decode_bf16 = &attention_decode<bf16>;
constexpr auto sum_rows_f32 = &sum_rows<float>;
constexpr auto sum_rows_bf16 = &sum_rows<bf16>;
