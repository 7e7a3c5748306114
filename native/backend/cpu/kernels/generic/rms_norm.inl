/// Root-mean-square norm of rows of K (ops.def: rms_norm, row_norm). Sums run in W lanes × 2, the same order for every row.

/// x += delta (unless null), x_saved = x (unless null), for W elements; returns x.
template <class T>
inline Vec add_delta(float* x, const T* delta, T* x_saved) {
  Vec value = load(x);
  if (delta) {
    value = value + load(delta);
    store(x, value);
  }
  if (x_saved) store(x_saved, value);
  return value;
}

/// The same for a row; returns Σ x².
template <class T>
inline float add_and_sum_squares(int64_t K, float* x, const T* delta, T* x_saved) {
  Vec first = broadcast(0), second = broadcast(0);
  int64_t k = 0;
  for (; k + 2 * W <= K; k += 2 * W) {
    const Vec a = add_delta(x + k, delta ? delta + k : nullptr, x_saved ? x_saved + k : nullptr);
    const Vec b = add_delta(x + k + W, delta ? delta + k + W : nullptr, x_saved ? x_saved + k + W : nullptr);
    first = fma(a, a, first);
    second = fma(b, b, second);
  }
  if (k + W <= K) {
    const Vec a = add_delta(x + k, delta ? delta + k : nullptr, x_saved ? x_saved + k : nullptr);
    first = fma(a, a, first);
    k += W;
  }
  if (k < K) {
    const int64_t n = K - k;
    Vec value = load_tail(x + k, n);
    if (delta) {
      value = value + load_tail(delta + k, n);
      store_tail(x + k, value, n);
    }
    if (x_saved) store_tail(x_saved + k, value, n);
    second = fma(value, value, second);
  }
  return reduce_add(first + second);
}

template <class T>
static void rms_norm_forward(int64_t rows, int64_t K, float* x, const T* delta, const float* weight, float eps, T* y, float* rstd,
                             T* x_saved) {
  for (int64_t row = 0; row < rows; ++row, x += K, y += K) {
    const float squares = add_and_sum_squares(K, x, delta ? delta + row * K : nullptr, x_saved ? x_saved + row * K : nullptr);
    const float r = 1.0f / __builtin_sqrtf(squares / static_cast<float>(K) + eps);
    rstd[row] = r;
    const Vec scale = broadcast(r);
    int64_t k = 0;
    for (; k + W <= K; k += W) store(y + k, load(x + k) * scale * load(weight + k));
    if (k < K) store_tail(y + k, load_tail(x + k, K - k) * scale * load_tail(weight + k, K - k), K - k);
  }
}

template <class T>
static void rms_norm_rebuild(int64_t rows, int64_t K, const T* x, const float* rstd, const float* weight, T* y) {
  for (int64_t row = 0; row < rows; ++row, x += K, y += K) {
    const Vec scale = broadcast(rstd[row]);
    int64_t k = 0;
    for (; k + W <= K; k += W) store(y + k, load(x + k) * scale * load(weight + k));
    if (k < K) store_tail(y + k, load_tail(x + k, K - k) * scale * load_tail(weight + k, K - k), K - k);
  }
}

/// Σ w·d_y·x of one row.
template <class T>
inline float weighted_dot_row(const T* d_y, const T* x, const float* weight, int64_t K) {
  Vec first = broadcast(0), second = broadcast(0);
  int64_t k = 0;
  for (; k + 2 * W <= K; k += 2 * W) {
    first = fma(load(d_y + k) * load(weight + k), load(x + k), first);
    second = fma(load(d_y + k + W) * load(weight + k + W), load(x + k + W), second);
  }
  for (; k + W <= K; k += W) first = fma(load(d_y + k) * load(weight + k), load(x + k), first);
  if (k < K) second = fma(load_tail(d_y + k, K - k) * load_tail(weight + k, K - k), load_tail(x + k, K - k), second);
  return reduce_add(first + second);
}

/// d_x += r·w·d_y − x·(r³·Σ w·d_y·x / K): the gradient with x̂ = r·x written out.
template <class T>
static void rms_norm_backward(int64_t rows, int64_t K, const T* d_y, const T* x, const float* rstd, const float* weight, float* d_x,
                              T* d_x_copy) {
  for (int64_t row = 0; row < rows; ++row, x += K, d_y += K, d_x += K) {
    const float r = rstd[row];
    const Vec scale = broadcast(r), pull = broadcast(-r * r * r * (weighted_dot_row(d_y, x, weight, K) / static_cast<float>(K)));
    int64_t k = 0;
    for (; k + W <= K; k += W) {
      const Vec d = load(d_x + k) + fma(load(x + k), pull, load(d_y + k) * load(weight + k) * scale);
      store(d_x + k, d);
      if (d_x_copy) store(d_x_copy + k, d);
    }
    if (k < K) {
      const int64_t n = K - k;
      const Vec d = load_tail(d_x + k, n) + fma(load_tail(x + k, n), pull, load_tail(d_y + k, n) * load_tail(weight + k, n) * scale);
      store_tail(d_x + k, d, n);
      if (d_x_copy) store_tail(d_x_copy + k, d, n);
    }
    if (d_x_copy) d_x_copy += K;
  }
}

template <class T>
static void row_norm_forward(int64_t rows, int64_t width, const T* x, const float* weight, float eps, T* y, float* rstd) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    Vec sum = broadcast(0);
    int64_t k = 0;
    for (; k + W <= width; k += W) sum = fma(load(x + k), load(x + k), sum);
    if (k < width) sum = fma(load_tail(x + k, width - k), load_tail(x + k, width - k), sum);
    const float r = 1.0f / __builtin_sqrtf(reduce_add(sum) / static_cast<float>(width) + eps);
    rstd[row] = r;
    rms_norm_rebuild<T>(1, width, x, rstd + row, weight, y);
  }
}

/// As rms_norm_backward, but d_x = …; d_x may be d_y.
template <class T>
static void row_norm_backward(int64_t rows, int64_t width, const T* d_y, const T* x, const float* rstd, const float* weight, T* d_x) {
  for (int64_t row = 0; row < rows; ++row, x += width, d_y += width, d_x += width) {
    const float r = rstd[row];
    const Vec scale = broadcast(r), pull = broadcast(-r * r * r * (weighted_dot_row(d_y, x, weight, width) / static_cast<float>(width)));
    int64_t k = 0;
    for (; k + W <= width; k += W) store(d_x + k, fma(load(x + k), pull, load(d_y + k) * load(weight + k) * scale));
    if (k < width)
      store_tail(d_x + k, fma(load_tail(x + k, width - k), pull, load_tail(d_y + k, width - k) * load_tail(weight + k, width - k) * scale),
                 width - k);
  }
}

constexpr auto rms_norm_forward_f32 = &rms_norm_forward<float>;
constexpr auto rms_norm_forward_bf16 = &rms_norm_forward<bf16>;
constexpr auto rms_norm_rebuild_f32 = &rms_norm_rebuild<float>;
constexpr auto rms_norm_rebuild_bf16 = &rms_norm_rebuild<bf16>;
constexpr auto rms_norm_backward_f32 = &rms_norm_backward<float>;
constexpr auto rms_norm_backward_bf16 = &rms_norm_backward<bf16>;
constexpr auto row_norm_forward_f32 = &row_norm_forward<float>;
constexpr auto row_norm_forward_bf16 = &row_norm_forward<bf16>;
constexpr auto row_norm_backward_f32 = &row_norm_backward<float>;
constexpr auto row_norm_backward_bf16 = &row_norm_backward<bf16>;
