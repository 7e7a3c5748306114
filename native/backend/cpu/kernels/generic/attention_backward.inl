/// Attention backward, one head of one sequence. Blocks of keys are the outer loop; everything is held transposed, keys as rows and queries
/// as lanes, so that lse and δ are vectors:
///   sᵀ = k·qᵀ    pᵀ = e^(scale·sᵀ − lse)    d_pᵀ = v·d_oᵀ    d_sᵀ = pᵀ ∘ (d_pᵀ − δ)    δ_i = d_o_i·o_i
///   d_v += pᵀ·d_o    d_k += scale·d_sᵀ·q    d_q += scale·d_s·k
/// d_k, d_v of a block add up over blocks of queries, d_q of the whole sequence over blocks of keys, in f32 and in ascending order.

struct BackwardScratch {
  int64_t q_columns, d_o_columns, q_pairs, d_o_pairs, lse, delta, d_q;          // whole sequence
  int64_t k_rows, v_rows, k_pairs, s, d_p, p, d_s, d_s_pairs, d_k, d_v, bytes;  // one block
};
template <class T>
inline BackwardScratch backward_scratch(int64_t length, int64_t D) {
  using Sizes = ForwardSizes<T>;
  const int64_t blocks = (length + attention_block - 1) / attention_block, square = attention_block * attention_block * 4;
  const int64_t columns = Sizes::keys_block(D) * 4, pairs = Sizes::values_block(D) * 4, sums = attention_block * padded_dim(D) * 4;
  BackwardScratch at;
  at.q_columns = 0;
  at.d_o_columns = at.q_columns + blocks * columns;
  at.q_pairs = at.d_o_columns + blocks * columns;
  at.d_o_pairs = at.q_pairs + blocks * pairs;
  at.lse = at.d_o_pairs + blocks * pairs;
  at.delta = at.lse + blocks * attention_block * 4;
  at.d_q = at.delta + blocks * attention_block * 4;
  at.k_rows = at.d_q + blocks * sums;
  at.v_rows = at.k_rows + columns;
  at.k_pairs = at.v_rows + columns;
  at.s = at.k_pairs + pairs;
  at.d_p = at.s + square;
  at.p = at.d_p + square;
  at.d_s = at.p + square;
  at.d_s_pairs = at.d_s + square;
  at.d_k = at.d_s_pairs + square;
  at.d_v = at.d_k + sums;
  at.bytes = at.d_v + sums;
  return at;
}
template <class T>
static int64_t attention_backward_scratch(int64_t length, int64_t D) {
  return backward_scratch<T>(length, D).bytes;
}

template <class T>
inline float dot_row(const T* a, const T* b, int64_t D) {
  Vec sum = broadcast(0);
  int64_t d = 0;
  for (; d + W <= D; d += W) sum = fma(load(a + d), load(b + d), sum);
  if (d < D) sum = fma(load_tail(a + d, D - d), load_tail(b + d, D - d), sum);
  return reduce_add(sum);
}

/// One key's row of sᵀ and d_pᵀ: queries [lo,hi) see it. p and d_s get `columns` elements, zero outside.
template <class Element>
inline void score_gradient_row(float* s, const float* d_p, const float* lse, const float* delta, int64_t columns, int64_t lo, int64_t hi,
                               float scale, Element* p, Element* d_s) {
  if (hi < lo) hi = lo;
  for (int64_t c = 0; c < lo; ++c) s[c] = -__builtin_inff();
  for (int64_t c = hi; c < columns; ++c) s[c] = -__builtin_inff();
  const Vec multiplier = broadcast(scale);
  for (int64_t c = 0; c < columns; c += W) {
    const Vec probability = exp(fma(load(s + c), multiplier, negate(load(lse + c))));
    store(p + c, probability);
    store(d_s + c, probability * (load(d_p + c) - load(delta + c)));
  }
}

/// d_s [rows, block] with pairs along queries → units of pairs along keys [⌈rows/2⌉, block]. For f32 it is the same matrix.
inline const float* pairs_along_keys(const float* d_s, int64_t, int64_t, uint32_t*) { return d_s; }
inline const uint32_t* pairs_along_keys(const bf16* d_s, int64_t rows, int64_t columns, uint32_t* out) {
  for (int64_t row = 0; row < rows; row += 2) {
    const bf16* first = d_s + row * attention_block;
    const bf16* second = first + attention_block;
    uint32_t* unit = out + row / 2 * attention_block;
    if (row + 1 < rows) {
      for (int64_t c = 0; c < columns; ++c) unit[c] = first[c].bits | static_cast<uint32_t>(second[c].bits) << 16;
    } else {
      for (int64_t c = 0; c < columns; ++c) unit[c] = first[c].bits;
    }
  }
  return out;
}

template <class T>
static void attention_backward(const AttentionBackwardTask* task) {
  using Sizes = ForwardSizes<T>;
  using Element = typename Sizes::Element;
  using Unit = typename Sizes::Unit;
  constexpr int64_t block = attention_block, per = per_unit<Element>;
  const int64_t D = task->head_dim, Dp = padded_dim(D), Ku = units_of<Element>(D), length = task->length,
                blocks = (length + block - 1) / block;
  const BackwardScratch at = backward_scratch<T>(length, D);
  char* scratch = static_cast<char*>(task->scratch);
  Unit* q_columns = reinterpret_cast<Unit*>(scratch + at.q_columns);
  Unit* d_o_columns = reinterpret_cast<Unit*>(scratch + at.d_o_columns);
  Unit* q_pairs = reinterpret_cast<Unit*>(scratch + at.q_pairs);
  Unit* d_o_pairs = reinterpret_cast<Unit*>(scratch + at.d_o_pairs);
  float* lse = reinterpret_cast<float*>(scratch + at.lse);
  float* delta = reinterpret_cast<float*>(scratch + at.delta);
  float* d_q = reinterpret_cast<float*>(scratch + at.d_q);
  Element* k_rows = reinterpret_cast<Element*>(scratch + at.k_rows);
  Element* v_rows = reinterpret_cast<Element*>(scratch + at.v_rows);
  Unit* k_pairs = reinterpret_cast<Unit*>(scratch + at.k_pairs);
  float* s = reinterpret_cast<float*>(scratch + at.s);
  float* d_p = reinterpret_cast<float*>(scratch + at.d_p);
  Element* p = reinterpret_cast<Element*>(scratch + at.p);
  Element* d_s = reinterpret_cast<Element*>(scratch + at.d_s);
  uint32_t* d_s_pairs = reinterpret_cast<uint32_t*>(scratch + at.d_s_pairs);
  float* d_k = reinterpret_cast<float*>(scratch + at.d_k);
  float* d_v = reinterpret_cast<float*>(scratch + at.d_v);

  const T* q = static_cast<const T*>(task->q);
  const T* o = static_cast<const T*>(task->o);
  const T* d_o = static_cast<const T*>(task->d_o);
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = b * block, count = length - begin < block ? length - begin : block;
    pack_columns<Element>(q + begin * task->q_stride, task->q_stride, count, D, q_columns + b * Sizes::keys_block(D));
    pack_columns<Element>(d_o + begin * task->q_stride, task->q_stride, count, D, d_o_columns + b * Sizes::keys_block(D));
    pack_pairs<Element>(q + begin * task->q_stride, task->q_stride, count, D, q_pairs + b * Sizes::values_block(D));
    pack_pairs<Element>(d_o + begin * task->q_stride, task->q_stride, count, D, d_o_pairs + b * Sizes::values_block(D));
    for (int64_t i = begin; i < begin + block; ++i) {
      const bool real = i < length;
      lse[i] = real ? task->lse[i * task->lse_stride] : 0;
      delta[i] = real ? dot_row(d_o + i * task->q_stride, o + i * task->q_stride, D) : 0;
    }
  }

  for (int64_t i = 0; i < blocks * block * Dp; ++i) d_q[i] = 0;
  for (int64_t kb = 0; kb < blocks; ++kb) {
    const int64_t from = kb * block, keys = length - from < block ? length - from : block;
    pack_rows<Element>(static_cast<const T*>(task->k) + from * task->kv_stride, task->kv_stride, keys, D, k_rows);
    pack_rows<Element>(static_cast<const T*>(task->v) + from * task->kv_stride, task->kv_stride, keys, D, v_rows);
    pack_pairs<Element>(static_cast<const T*>(task->k) + from * task->kv_stride, task->kv_stride, keys, D, k_pairs);
    for (int64_t qb = kb; qb < blocks; ++qb) {
      const int64_t begin = qb * block, queries = length - begin < block ? length - begin : block;
      if (task->window > 0 && begin - (from + keys - 1) >= task->window) break;
      const int64_t columns = (queries + W * per - 1) / (W * per) * (W * per);
      const Product<Unit> scores{Ku,   reinterpret_cast<const Unit*>(k_rows), Ku, 1, q_columns + qb * Sizes::keys_block(D), block, s, block,
                                 false};
      multiply(scores, keys, columns / W);
      const Product<Unit> d_probabilities{
          Ku, reinterpret_cast<const Unit*>(v_rows), Ku, 1, d_o_columns + qb * Sizes::keys_block(D), block, d_p, block, false};
      multiply(d_probabilities, keys, columns / W);
      for (int64_t row = 0; row < keys; ++row) {
        const int64_t diagonal = from + row - begin,
                      last = task->window > 0 && diagonal + task->window < queries ? diagonal + task->window : queries;
        score_gradient_row(s + row * block, d_p + row * block, lse + begin, delta + begin, columns, diagonal > 0 ? diagonal : 0, last,
                           task->scale, p + row * block, d_s + row * block);
      }
      const Product<Unit> to_v{units_of<Element>(queries),
                               reinterpret_cast<const Unit*>(p),
                               block / per,
                               1,
                               d_o_pairs + qb * Sizes::values_block(D),
                               Dp,
                               d_v,
                               Dp,
                               qb > kb};
      multiply(to_v, keys, Dp / W);
      const Product<Unit> to_k{units_of<Element>(queries),
                               reinterpret_cast<const Unit*>(d_s),
                               block / per,
                               1,
                               q_pairs + qb * Sizes::values_block(D),
                               Dp,
                               d_k,
                               Dp,
                               qb > kb};
      multiply(to_k, keys, Dp / W);
      const Product<Unit> to_q{
          units_of<Element>(keys), pairs_along_keys(d_s, keys, columns, d_s_pairs), 1, block, k_pairs, Dp, d_q + begin * Dp, Dp, true};
      multiply(to_q, queries, Dp / W);
    }
    const Vec scale = broadcast(task->scale);
    for (int64_t row = 0; row < keys; ++row)
      for (int64_t d = 0; d < D; d += W) {
        const int64_t n = D - d < W ? D - d : W;
        float* to_k = task->d_k + (from + row) * task->d_kv_stride + d;
        float* to_v = task->d_v + (from + row) * task->d_kv_stride + d;
        n == W ? store(to_k, load(d_k + row * Dp + d) * scale) : store_tail(to_k, load(d_k + row * Dp + d) * scale, n);
        n == W ? store(to_v, load(d_v + row * Dp + d)) : store_tail(to_v, load(d_v + row * Dp + d), n);
      }
  }
  const Vec scale = broadcast(task->scale);
  T* out = static_cast<T*>(task->d_q);
  for (int64_t i = 0; i < length; ++i, out += task->q_stride, d_q += Dp) {
    int64_t d = 0;
    for (; d + W <= D; d += W) store(out + d, load(d_q + d) * scale);
    if (d < D) store_tail(out + d, load(d_q + d) * scale, D - d);
  }
}

constexpr auto attention_backward_scratch_f32 = &attention_backward_scratch<float>;
constexpr auto attention_backward_scratch_bf16 = &attention_backward_scratch<bf16>;
constexpr auto attention_backward_f32 = &attention_backward<float>;
constexpr auto attention_backward_bf16 = &attention_backward<bf16>;
