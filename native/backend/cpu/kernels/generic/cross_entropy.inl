/// Softmax cross-entropy of one row of logits (ops.h: linear_cross_entropy), in three passes over a row that stays in cache:
/// the maximum; e = exp(logit − max) and its sum, in place; d = e / sum − onehot.

inline float maximum_of_row(const float* x, int64_t V) {
  Vec first = broadcast(-__builtin_inff()), second = first;
  int64_t v = 0;
  for (; v + 2 * W <= V; v += 2 * W) {
    first = maximum(first, load(x + v));
    second = maximum(second, load(x + v + W));
  }
  float top = reduce_max(maximum(first, second));
  for (; v < V; ++v) top = x[v] > top ? x[v] : top;
  return top;
}

/// x becomes exp(x − top) when `keep`; returns the sum.
inline float exponentials_of_row(float* x, int64_t V, float top, bool keep) {
  const Vec shift = broadcast(top);
  Vec first = broadcast(0), second = first;
  int64_t v = 0;
  for (; v + 2 * W <= V; v += 2 * W) {
    const Vec a = exp(load(x + v) - shift), b = exp(load(x + v + W) - shift);
    first = first + a;
    second = second + b;
    if (keep) {
      store(x + v, a);
      store(x + v + W, b);
    }
  }
  float sum = 0;
  for (; v < V; ++v) {
    float value[W];
    store(value, exp(broadcast(x[v] - top)));
    sum += value[0];
    if (keep) x[v] = value[0];
  }
  return reduce_add(first + second) + sum;
}

/// d [V] is softmax − onehot, or null; it may be `logits` itself (T = float). `logits` is overwritten when d is wanted.
template <class T>
static void cross_entropy_row(int64_t V, float* logits, int32_t target, float* loss, uint8_t* correct, T* d) {
  const float top = maximum_of_row(logits, V), chosen = logits[target];
  if (correct) {
    bool first = chosen == top;
    for (int64_t v = 0; first && v < target; ++v) first = logits[v] != top;
    *correct = first;
  }
  const float sum = exponentials_of_row(logits, V, top, d != nullptr);
  *loss = (top - chosen) + __builtin_logf(sum);
  if (!d) return;
  const float inverse = 1.0f / sum, at_target = logits[target] * inverse - 1.0f;
  const Vec scale = broadcast(inverse);
  int64_t v = 0;
  for (; v + W <= V; v += W) store(d + v, load(logits + v) * scale);
  if (v < V) store_tail(d + v, load_tail(logits + v, V - v) * scale, V - v);
  float spread[W];
  for (int lane = 0; lane < W; ++lane) spread[lane] = at_target;
  T rounded[W];
  store(rounded, load(spread));
  d[target] = rounded[0];
}

constexpr auto cross_entropy_row_f32 = &cross_entropy_row<float>;
constexpr auto cross_entropy_row_bf16 = &cross_entropy_row<bf16>;
