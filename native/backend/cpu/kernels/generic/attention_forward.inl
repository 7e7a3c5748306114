/// Attention forward, one block of queries of one head (Dao et al. 2022, "FlashAttention"): blocks of keys stream by, the softmax is kept
/// as a running maximum and sum, and the output is rescaled when the maximum grows.
///   s = scale·q·k    m' = max(m, max s)    l' = l·e^(m−m') + Σ e^(s−m')    o' = o·e^(m−m') + Σ e^(s−m')·v    lse = m + log l

template <class T>
constexpr bool exact = sizeof(T) == 4;

/// scale·s − m. f32 rounds the product first, as m was: the largest score gives 0, and its probability is 1 where it is the only one.
template <bool exact>
inline Vec below_largest(Vec s, Vec scale, Vec minus_m) {
  return exact ? s * scale + minus_m : fma(s, scale, minus_m);
}

template <class T>
struct AttentionSizes {
  using Element = typename MultiplyAs<T>::type;
  using Unit = typename UnitOf<Element>::type;
  // Units of one block as rows, columns and pairs (attention_pack.inl).
  static int64_t rows_block(int64_t D) { return units_of<Element>(D) * attention_block; }
  static int64_t columns_block(int64_t D) { return units_of<Element>(D) * attention_block; }
  static int64_t pairs_block(int64_t D) { return attention_block / per_unit<Element> * padded_dim(D); }
};

/// Bytes of one sequence's packed keys, or of its packed values.
template <class T>
static int64_t attention_keys_bytes(int64_t length, int64_t D) {
  return (length + attention_block - 1) / attention_block * AttentionSizes<T>::rows_block(D) * 4;
}
template <class T>
static int64_t attention_values_bytes(int64_t length, int64_t D) {
  return (length + attention_block - 1) / attention_block * AttentionSizes<T>::pairs_block(D) * 4;
}

/// Packs block `block` of one sequence and kv head; k, v at the sequence's first row.
template <class T>
static void attention_pack(const T* k, const T* v, int64_t stride, int64_t length, int64_t block, int64_t D, void* keys, void* values) {
  using Sizes = AttentionSizes<T>;
  using Element = typename Sizes::Element;
  using Unit = typename Sizes::Unit;
  const int64_t begin = block * attention_block, left = length - begin, count = left < attention_block ? left : attention_block;
  pack_rows(k + begin * stride, stride, count, D, reinterpret_cast<Element*>(static_cast<Unit*>(keys) + block * Sizes::rows_block(D)));
  pack_pairs<Element>(v + begin * stride, stride, count, D, static_cast<Unit*>(values) + block * Sizes::pairs_block(D));
}

/// Stores probabilities of neighbouring keys, W queries each, as units along keys.
inline void store_along_keys(float* p, Vec first, Vec) { store(p, first); }
template <class Unit>
inline void store_along_keys(Unit* p, Vec first, Vec second) {
  store_interleaved(p, first, second);
}

/// sᵀ [keys, block] of `columns` queries becomes probabilities in units along keys; m, l follow; shrink = e^(m − m').
/// A masked score is −∞. While a query has seen no key its maximum is −∞ and 0 is subtracted instead, so that no NaN arises.
template <bool exact, class Unit>
inline void softmax_columns(const float* s, int64_t keys, int64_t columns, bool diagonal, float scale, Unit* p, float* m, float* l,
                            float* shrink) {
  constexpr int64_t per = UnitSize<Unit>::elements;
  const Vec multiplier = broadcast(scale), nothing = broadcast(-__builtin_inff());
  for (int64_t c = 0; c < columns; c += W) {
    const int64_t seen = diagonal && c + W < keys ? c + W : keys;  // later keys are masked for all W queries
    Vec top = nothing;
    for (int64_t key = 0; key < seen; ++key) top = maximum(top, load(s + key * attention_block + c));
    const Vec before = load(m + c), now = maximum(before, top * multiplier), shift = select(equal(now, nothing), broadcast(0), negate(now));
    const Vec factor = exp(before + shift);
    Vec sum = broadcast(0);
    int64_t key = 0;
    for (; key + per <= seen; key += per) {
      const Vec first = exp(below_largest<exact>(load(s + key * attention_block + c), multiplier, shift));
      sum = sum + first;
      Vec second = broadcast(0);
      if (per == 2) {
        second = exp(below_largest<exact>(load(s + (key + 1) * attention_block + c), multiplier, shift));
        sum = sum + second;
      }
      store_along_keys(p + key / per * attention_block + c, first, second);
    }
    if (key < seen) {
      const Vec last = exp(below_largest<exact>(load(s + key * attention_block + c), multiplier, shift));
      sum = sum + last;
      store_along_keys(p + key / per * attention_block + c, last, broadcast(0));
      key += per;
    }
    for (; key < keys; key += per) store_along_keys(p + key / per * attention_block + c, broadcast(0), broadcast(0));
    store(m + c, now);
    store(l + c, fma(load(l + c), factor, sum));
    store(shrink + c, factor);
  }
}

/// Scores that causality or the window hides become −∞. Key row r, query column c: c ≥ r on the diagonal; c < r + reach in a window.
inline void mask_columns(float* s, int64_t keys, int64_t columns, bool diagonal, int64_t reach) {
  for (int64_t r = 0; r < keys; ++r) {
    float* row = s + r * attention_block;
    if (diagonal)
      for (int64_t c = r / W * W; c < r; ++c) row[c] = -__builtin_inff();
    for (int64_t c = r + reach > 0 ? r + reach : 0; c < columns; ++c) row[c] = -__builtin_inff();
  }
}

/// Scores of a tile, [keys, block], as a soft cap leaves them: cap·tanh(scale·s / cap).
inline void cap_scores(float* s, int64_t keys, int64_t columns, float scale, float cap) {
  for (int64_t row = 0; row < keys; ++row, s += attention_block)
    for (int64_t c = 0; c < columns; c += W) store(s + c, soft_capped(load(s + c), scale, cap));
}

/// The same as ALiBi leaves them: scale·s + slope·(j − i). `distance`: of the tile's first key from its first query, j − i.
inline void lean_scores(float* s, int64_t keys, int64_t columns, float scale, float slope, int64_t distance) {
  alignas(64) float lanes[W];
  for (int64_t c = 0; c < W; ++c) lanes[c] = static_cast<float>(c);
  const Vec lane = load(lanes), multiplier = broadcast(scale), lean = broadcast(slope);
  for (int64_t row = 0; row < keys; ++row, s += attention_block)
    for (int64_t c = 0; c < columns; c += W) {
      const Vec apart = broadcast(static_cast<float>(distance + row - c)) - lane;  // exact
      store(s + c, fma(load(s + c), multiplier, lean * apart));
    }
}

/// Scores of a tile as the softmax takes them, but for the factor that is returned.
template <class Task>
inline float finish_scores(const Task& task, float* s, int64_t keys, int64_t columns, int64_t distance) {
  if (task.soft_cap > 0)
    cap_scores(s, keys, columns, task.scale, task.soft_cap);
  else if (task.slope > 0)
    lean_scores(s, keys, columns, task.scale, task.slope, distance);
  else
    return task.scale;
  return 1;
}

struct ForwardScratch {
  int64_t q, s, p, o, m, l, shrink, bytes;  // offsets
};
template <class T>
inline ForwardScratch forward_scratch(int64_t D) {
  ForwardScratch at;
  at.q = 0;
  at.s = at.q + AttentionSizes<T>::columns_block(D) * 4;
  at.p = at.s + attention_block * attention_block * 4;
  at.o = at.p + attention_block * attention_block * 4;
  at.m = at.o + attention_block * padded_dim(D) * 4;
  at.l = at.m + attention_block * 4;
  at.shrink = at.l + attention_block * 4;
  at.bytes = at.shrink + attention_block * 4;
  return at;
}
template <class T>
static int64_t attention_forward_scratch(int64_t D) {
  return forward_scratch<T>(D).bytes;
}

template <class T>
static void attention_forward(const AttentionForwardTask<T>* task) {
  using Sizes = AttentionSizes<T>;
  using Element = typename Sizes::Element;
  using Unit = typename Sizes::Unit;
  const int64_t D = task->head_dim, Dp = padded_dim(D), Ku = units_of<Element>(D), rows = task->rows, end = task->begin + rows;
  const int64_t columns = (rows + W - 1) / W * W;
  const ForwardScratch at = forward_scratch<T>(D);
  char* scratch = static_cast<char*>(task->scratch);
  Unit* q = reinterpret_cast<Unit*>(scratch + at.q);
  float* s = reinterpret_cast<float*>(scratch + at.s);
  Unit* p = reinterpret_cast<Unit*>(scratch + at.p);
  float* o = reinterpret_cast<float*>(scratch + at.o);
  float* m = reinterpret_cast<float*>(scratch + at.m);
  float* l = reinterpret_cast<float*>(scratch + at.l);
  float* shrink = reinterpret_cast<float*>(scratch + at.shrink);
  pack_columns<Element>(task->q, task->q_stride, rows, D, q);
  for (int64_t c = 0; c < columns; ++c) m[c] = -__builtin_inff(), l[c] = 0;
  const int64_t lowest = task->window > 0 && task->begin >= task->window ? task->begin - task->window + 1 : 0;
  const int64_t first_block = lowest / attention_block;
  for (int64_t block = first_block; block * attention_block < end; ++block) {
    const int64_t from = block * attention_block, left = end - from, keys = left < attention_block ? left : attention_block;
    const bool first = block == first_block, diagonal = from == task->begin;
    const Unit* k = static_cast<const Unit*>(task->keys) + block * Sizes::rows_block(D);
    const Unit* v = static_cast<const Unit*>(task->values) + block * Sizes::pairs_block(D);
    const Product<Unit> scores{
        Ku, k, Ku, 1, q, attention_block, s, attention_block, false, diagonal ? Triangle::columns_from_row : Triangle::none};
    multiply(scores, keys, columns / W);
    const float factor = finish_scores(*task, s, keys, columns, from - task->begin);
    mask_columns(s, keys, columns, diagonal, task->window > 0 ? from - task->begin + task->window : columns);
    softmax_columns<exact<T>>(s, keys, columns, diagonal, factor, p, m, l, shrink);
    const Product<Unit> outputs{
        units_of<Element>(keys), p, 1, attention_block, v, Dp, o, Dp, !first, diagonal ? Triangle::steps_to_row : Triangle::none,
        first ? nullptr : shrink};
    multiply(outputs, rows, Dp / W);
  }
  T* out = task->o;
  for (int64_t row = 0; row < rows; ++row, out += task->o_stride, o += Dp) {
    const Vec inverse = broadcast(1.0f / l[row]);
    int64_t d = 0;
    for (; d + W <= D; d += W) store(out + d, load(o + d) * inverse);
    if (d < D) store_tail(out + d, load(o + d) * inverse, D - d);
    task->lse[row * task->lse_stride] = m[row];
    task->lse[row * task->lse_stride + 1] = __builtin_logf(l[row]);
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
