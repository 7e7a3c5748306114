/// Softmax cross-entropy (ops.def: linear_cross_entropy) by blocks of the vocabulary, so that a row of f32 logits never leaves the cache:
///   block b:  m_b = max x,  s_b = Σ e^(x − m_b),  e = e^(x − m_b)              softmax_block, while the block's logits are at hand
///   row:      M = max m_b,  S = Σ s_b·e^(m_b − M),  f_b = e^(m_b − M) / S      softmax_join
///             softmax = e·f_b                                                  softmax_scale

inline float maximum_of_row(const float* x, int64_t count) {
  Vec first = broadcast(-__builtin_inff()), second = first;
  int64_t i = 0;
  for (; i + 2 * W <= count; i += 2 * W) {
    first = maximum(first, load(x + i));
    second = maximum(second, load(x + i + W));
  }
  float top = reduce_max(maximum(first, second));
  for (; i < count; ++i) top = x[i] > top ? x[i] : top;
  return top;
}

/// Σ e^(x − top); e receives the terms where it is not null.
template <class T>
inline float exponentials_of_row(const float* x, int64_t count, float top, T* e) {
  const Vec shift = broadcast(top);
  Vec first = broadcast(0), second = first;
  int64_t i = 0;
  for (; i + 2 * W <= count; i += 2 * W) {
    const Vec a = exp(load(x + i) - shift), b = exp(load(x + i + W) - shift);
    first = first + a;
    second = second + b;
    if (e) {
      store(e + i, a);
      store(e + i + W, b);
    }
  }
  float sum = 0;
  for (; i < count; ++i) {
    const Vec value = exp(broadcast(x[i] - top));
    float term[W];
    store(term, value);
    sum += term[0];
    if (e) {
      T rounded[W];
      store(rounded, value);
      e[i] = rounded[0];
    }
  }
  return reduce_add(first + second) + sum;
}

template <class T>
static void softmax_block(int64_t rows, int64_t columns, const float* logits, T* e, int64_t e_stride, float* top, float* sum,
                          int64_t blocks) {
  for (int64_t m = 0; m < rows; ++m) {
    const float* x = logits + m * columns;
    top[m * blocks] = maximum_of_row(x, columns);
    sum[m * blocks] = exponentials_of_row(x, columns, top[m * blocks], e ? e + m * e_stride : nullptr);
  }
}

static float softmax_join(int64_t blocks, float* top, const float* sum, float* total) {
  const float most = maximum_of_row(top, blocks);
  exponentials_of_row(top, blocks, most, top);
  Vec wide = broadcast(0);
  int64_t b = 0;
  for (; b + W <= blocks; b += W) wide = wide + load(sum + b) * load(top + b);
  float all = reduce_add(wide);
  for (; b < blocks; ++b) all += sum[b] * top[b];
  for (b = 0; b < blocks; ++b) top[b] = top[b] / all;
  *total = all;
  return most;
}

template <class T>
static void softmax_scale(int64_t V, int64_t block, const float* factors, T* d) {
  for (int64_t at = 0; at < V; at += block, ++factors) {
    const int64_t end = at + block < V ? at + block : V;
    const Vec factor = broadcast(*factors);
    int64_t v = at;
    for (; v + W <= end; v += W) store(d + v, load(d + v) * factor);
    if (v < end) store_tail(d + v, load_tail(d + v, end - v) * factor, end - v);
  }
}

constexpr auto softmax_block_f32 = &softmax_block<float>;
constexpr auto softmax_block_bf16 = &softmax_block<bf16>;
constexpr auto softmax_scale_f32 = &softmax_scale<float>;
constexpr auto softmax_scale_bf16 = &softmax_scale<bf16>;
