/// LayerNorm of rows of K (ops.def: layer_norm). Mean first, then the squares around it; sums run in W lanes, the same order for every row.

template <class T>
inline float row_mean(const T* x, int64_t K) {
  Vec sum = broadcast(0);
  int64_t k = 0;
  for (; k + W <= K; k += W) sum = sum + load(x + k);
  float rest = k < K ? reduce_add(load_tail(x + k, K - k)) : 0.0f;
  return (reduce_add(sum) + rest) / static_cast<float>(K);
}

/// y = (x − mean)·rstd·weight + bias.
template <class From, class T>
inline void normalize_row(const From* x, int64_t K, float mean, float rstd, const float* weight, const float* bias, T* y) {
  const Vec center = broadcast(mean), scale = broadcast(rstd);
  int64_t k = 0;
  for (; k + W <= K; k += W) store(y + k, fma((load(x + k) - center) * scale, load(weight + k), load(bias + k)));
  if (k == K) return;
  const int64_t n = K - k;
  store_tail(y + k, fma((load_tail(x + k, n) - center) * scale, load_tail(weight + k, n), load_tail(bias + k, n)), n);
}

template <class T>
static void layer_norm_forward(int64_t rows, int64_t K, float* x, const T* delta, const float* weight, const float* bias, float eps, T* y,
                               float* moments, T* x_saved) {
  for (int64_t row = 0; row < rows; ++row, x += K, y += K) {
    residual_add<T>(K, x, delta ? delta + row * K : nullptr, x_saved ? x_saved + row * K : nullptr);
    const float mean = row_mean(x, K);
    const Vec center = broadcast(mean);
    Vec sum = broadcast(0);
    int64_t k = 0;
    for (; k + W <= K; k += W) {
      const Vec d = load(x + k) - center;
      sum = fma(d, d, sum);
    }
    float squares = reduce_add(sum);
    for (; k < K; ++k) squares += (x[k] - mean) * (x[k] - mean);
    moments[2 * row] = mean;
    moments[2 * row + 1] = 1.0f / __builtin_sqrtf(squares / static_cast<float>(K) + eps);
    normalize_row(x, K, mean, moments[2 * row + 1], weight, bias, y);
  }
}

template <class T>
static void layer_norm_rebuild(int64_t rows, int64_t K, const T* x, const float* moments, const float* weight, const float* bias, T* y) {
  for (int64_t row = 0; row < rows; ++row) normalize_row(x + row * K, K, moments[2 * row], moments[2 * row + 1], weight, bias, y + row * K);
}

/// d_x += r·(g − mean(g) − x̂·mean(g∘x̂)), g = w∘d_y, x̂ = (x − mean)·r.
template <class T>
static void layer_norm_backward(int64_t rows, int64_t K, const T* d_y, const T* x, const float* moments, const float* weight, float* d_x,
                                T* d_x_copy) {
  for (int64_t row = 0; row < rows; ++row, x += K, d_y += K, d_x += K) {
    const float r = moments[2 * row + 1];
    const Vec center = broadcast(moments[2 * row]), scale = broadcast(r);
    Vec sum = broadcast(0), dot = broadcast(0);
    int64_t k = 0;
    for (; k + W <= K; k += W) {
      const Vec g = load(d_y + k) * load(weight + k);
      sum = sum + g;
      dot = fma(g, (load(x + k) - center) * scale, dot);
    }
    if (k < K) {
      const int64_t n = K - k;
      const Vec g = load_tail(d_y + k, n) * load_tail(weight + k, n);  // 0 beyond the row
      sum = sum + g;
      dot = fma(g, (load_tail(x + k, n) - center) * scale, dot);
    }
    const Vec mean = broadcast(reduce_add(sum) / static_cast<float>(K)), pull = broadcast(reduce_add(dot) / static_cast<float>(K));
    for (k = 0; k < K; k += W) {
      const int64_t n = K - k < W ? K - k : W;
      const bool whole = n == W;
      const Vec g = whole ? load(d_y + k) * load(weight + k) : load_tail(d_y + k, n) * load_tail(weight + k, n);
      const Vec hat = ((whole ? load(x + k) : load_tail(x + k, n)) - center) * scale;
      const Vec d = (whole ? load(d_x + k) : load_tail(d_x + k, n)) + (g - mean - hat * pull) * scale;
      whole ? store(d_x + k, d) : store_tail(d_x + k, d, n);
      if (d_x_copy) whole ? store(d_x_copy + k, d) : store_tail(d_x_copy + k, d, n);
    }
    if (d_x_copy) d_x_copy += K;
  }
}

constexpr auto layer_norm_forward_f32 = &layer_norm_forward<float>;
constexpr auto layer_norm_forward_bf16 = &layer_norm_forward<bf16>;
constexpr auto layer_norm_rebuild_f32 = &layer_norm_rebuild<float>;
constexpr auto layer_norm_rebuild_bf16 = &layer_norm_rebuild<bf16>;
constexpr auto layer_norm_backward_f32 = &layer_norm_backward<float>;
constexpr auto layer_norm_backward_bf16 = &layer_norm_backward<bf16>;
