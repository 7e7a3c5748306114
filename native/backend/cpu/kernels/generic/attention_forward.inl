/// Attention forward, one block of queries of one head (Dao et al. 2022, "FlashAttention"): blocks of keys stream by, the softmax is kept
/// as a running maximum and sum, and the output is rescaled when the maximum grows.
///   s = scale·q·k    m' = max(m, max s)    l' = l·e^(m−m') + Σ e^(s−m')    o' = o·e^(m−m') + Σ e^(s−m')·v    lse = m + log l

template <class T>
struct ForwardSizes {
  using Element = typename MultiplyAs<T>::type;
  using Unit = typename UnitOf<Element>::type;
  static int64_t keys_block(int64_t D) { return units_of<Element>(D) * attention_block; }
  static int64_t values_block(int64_t D) { return attention_block / per_unit<Element> * padded_dim(D); }
};

/// Bytes of one sequence's packed keys, or of its packed values.
template <class T>
static int64_t attention_keys_bytes(int64_t length, int64_t D) {
  return (length + attention_block - 1) / attention_block * ForwardSizes<T>::keys_block(D) * 4;
}
template <class T>
static int64_t attention_values_bytes(int64_t length, int64_t D) {
  return (length + attention_block - 1) / attention_block * ForwardSizes<T>::values_block(D) * 4;
}

/// Packs block `block` of one sequence and kv head; k, v at the sequence's first row.
template <class T>
static void attention_pack(const T* k, const T* v, int64_t stride, int64_t length, int64_t block, int64_t D, void* keys, void* values) {
  using Sizes = ForwardSizes<T>;
  using Element = typename Sizes::Element;
  using Unit = typename Sizes::Unit;
  const int64_t begin = block * attention_block, left = length - begin, count = left < attention_block ? left : attention_block;
  pack_columns<Element>(k + begin * stride, stride, count, D, static_cast<Unit*>(keys) + block * Sizes::keys_block(D));
  pack_pairs<Element>(v + begin * stride, stride, count, D, static_cast<Unit*>(values) + block * Sizes::values_block(D));
}

/// Scores [lo,hi) of the row are seen. s becomes probabilities in `p` (zero elsewhere); m, l and o follow.
template <class Element>
inline void softmax_row(float* s, Element* p, int64_t columns, int64_t lo, int64_t hi, float scale, float* m, float* l, float* o,
                        int64_t Dp, bool first) {
  if (lo >= hi) {
    for (int64_t c = 0; c < columns; c += W) store(p + c, broadcast(0));
    return;
  }
  for (int64_t c = 0; c < lo; ++c) s[c] = -__builtin_inff();
  for (int64_t c = hi; c < columns; ++c) s[c] = -__builtin_inff();
  Vec highest = load(s);
  for (int64_t c = W; c < columns; c += W) highest = maximum(highest, load(s + c));
  const float top = reduce_max(highest) * scale, before = *m, now = top > before ? top : before;
  if (now > before) {
    float shrink[W];
    store(shrink, exp(broadcast(before - now)));  // e^(−∞) = 0 for the first block seen
    *m = now;
    *l *= shrink[0];
    if (!first) {
      const Vec factor = broadcast(shrink[0]);
      for (int64_t d = 0; d < Dp; d += W) store(o + d, load(o + d) * factor);
    }
  }
  const Vec multiplier = broadcast(scale), shift = broadcast(-now);
  Vec sum = broadcast(0);
  for (int64_t c = 0; c < columns; c += W) {
    const Vec e = exp(fma(load(s + c), multiplier, shift));
    sum = sum + e;
    store(p + c, e);
  }
  *l += reduce_add(sum);
}

struct ForwardScratch {
  int64_t q, s, p, o, m, l, bytes;  // offsets
};
template <class T>
inline ForwardScratch forward_scratch(int64_t D) {
  ForwardScratch at;
  at.q = 0;
  at.s = at.q + ForwardSizes<T>::keys_block(D) * 4;
  at.p = at.s + attention_block * attention_block * 4;
  at.o = at.p + attention_block * attention_block * 4;
  at.m = at.o + attention_block * padded_dim(D) * 4;
  at.l = at.m + attention_block * 4;
  at.bytes = at.l + attention_block * 4;
  return at;
}
template <class T>
static int64_t attention_forward_scratch(int64_t D) {
  return forward_scratch<T>(D).bytes;
}

template <class T>
static void attention_forward(const AttentionForwardTask* task) {
  using Sizes = ForwardSizes<T>;
  using Element = typename Sizes::Element;
  using Unit = typename Sizes::Unit;
  const int64_t D = task->head_dim, Dp = padded_dim(D), Ku = units_of<Element>(D), rows = task->rows, end = task->begin + rows;
  const ForwardScratch at = forward_scratch<T>(D);
  char* scratch = static_cast<char*>(task->scratch);
  Element* q = reinterpret_cast<Element*>(scratch + at.q);
  float* s = reinterpret_cast<float*>(scratch + at.s);
  Element* p = reinterpret_cast<Element*>(scratch + at.p);
  float* o = reinterpret_cast<float*>(scratch + at.o);
  float* m = reinterpret_cast<float*>(scratch + at.m);
  float* l = reinterpret_cast<float*>(scratch + at.l);
  pack_rows<Element>(static_cast<const T*>(task->q), task->q_stride, rows, D, q);
  for (int64_t row = 0; row < rows; ++row) m[row] = -__builtin_inff(), l[row] = 0;
  const int64_t lowest = task->window > 0 && task->begin >= task->window ? task->begin - task->window + 1 : 0,
                first_block = lowest / attention_block;
  for (int64_t block = first_block; block * attention_block < end; ++block) {
    const int64_t from = block * attention_block, left = end - from, count = left < attention_block ? left : attention_block;
    const int64_t columns = (count + W * per_unit<Element> - 1) / (W * per_unit<Element>)*(W * per_unit<Element>);
    const bool first = block == first_block;
    const Product<Unit> scores{Ku,
                               reinterpret_cast<const Unit*>(q),
                               Ku,
                               1,
                               static_cast<const Unit*>(task->keys) + block * Sizes::keys_block(D),
                               attention_block,
                               s,
                               attention_block,
                               false};
    multiply(scores, rows, columns / W);
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t position = task->begin + row - from;  // the diagonal's column
      const int64_t hi = position + 1 < count ? position + 1 : count;
      const int64_t lo = task->window > 0 && position - task->window + 1 > 0 ? position - task->window + 1 : 0;
      softmax_row(s + row * attention_block, p + row * attention_block, columns, lo, hi, task->scale, m + row, l + row, o + row * Dp, Dp,
                  first);
    }
    const Product<Unit> outputs{units_of<Element>(count),
                                reinterpret_cast<const Unit*>(p),
                                attention_block / per_unit<Element>,
                                1,
                                static_cast<const Unit*>(task->values) + block * Sizes::values_block(D),
                                Dp,
                                o,
                                Dp,
                                !first};
    multiply(outputs, rows, Dp / W);
  }
  T* out = static_cast<T*>(task->o);
  for (int64_t row = 0; row < rows; ++row, out += task->o_stride, o += Dp) {
    const Vec inverse = broadcast(1.0f / l[row]);
    int64_t d = 0;
    for (; d + W <= D; d += W) store(out + d, load(o + d) * inverse);
    if (d < D) store_tail(out + d, load(o + d) * inverse, D - d);
    task->lse[row * task->lse_stride] = m[row] + __builtin_logf(l[row]);
  }
}

constexpr auto attention_keys_bytes_f32 = &attention_keys_bytes<float>;
constexpr auto attention_keys_bytes_bf16 = &attention_keys_bytes<bf16>;
constexpr auto attention_values_bytes_f32 = &attention_values_bytes<float>;
constexpr auto attention_values_bytes_bf16 = &attention_values_bytes<bf16>;
constexpr auto attention_pack_f32 = &attention_pack<float>;
constexpr auto attention_pack_bf16 = &attention_pack<bf16>;
constexpr auto attention_forward_scratch_f32 = &attention_forward_scratch<float>;
constexpr auto attention_forward_scratch_bf16 = &attention_forward_scratch<bf16>;
constexpr auto attention_forward_f32 = &attention_forward<float>;
constexpr auto attention_forward_bf16 = &attention_forward<bf16>;
