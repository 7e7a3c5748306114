/// Attention backward, one head of one sequence or half of its keys. Blocks of keys are the outer loop; everything is held transposed, keys
/// as rows and queries as lanes, so that lse and δ are vectors:
///   sᵀ = k·qᵀ    pᵀ = e^(scale·sᵀ − lse)    d_pᵀ = v·d_oᵀ    d_sᵀ = pᵀ ∘ (d_pᵀ − δ)    δ_i = d_o_i·o_i
///   d_v += pᵀ·d_o    d_k += scale·d_sᵀ·q    d_q += scale·d_s·k
///
/// Where the softmax saturates, d_p − δ is the small difference of two large sums, and d_s is their rounding. f32 does more there:
///   * lse stays in its two parts, m and log l, so that p is as exact as e^(s−m) / l; their sum alone costs |m|·2⁻²⁴ of p.
///   * δ is summed in d_p's order: where o_i is v_j to the bit, the difference is 0.
///   * A row of d_s sums to zero. What the rounding leaves, Σ_j d_s_ij, is handed out with the key that has more than half of the row,
///     whose d_s carries it: attention.cpp takes it back (balance), and that d_s is then as exact as the row's others together.
/// bf16 takes δ_i = Σ_j p_ij·d_p_ij / Σ_j p_ij in a pass of its own over the keys where it is told to (AttentionShape::sum_delta): what all
/// d_p of a row have in common cancels. Every task of a head has the same δ. d_k, d_v of a block add up over blocks of queries, d_q over
/// blocks of keys, in f32 and in ascending order. d_q is always the sum of two halves of the keys, whether one task makes both or two tasks
/// one each: so a head can be divided among threads and keeps its bits.

struct BackwardScratch {
  int64_t q_columns, d_o_columns, q_pairs, d_o_pairs, lse, delta, d_q, d_q_rest;     // whole sequence
  int64_t log_sum, residual, majority;                                               // whole sequence, f32 only; the last two by halves
  int64_t k_rows, v_rows, k_pairs, s, d_p, p, d_s, d_s_along_keys, d_k, d_v, bytes;  // one block
};
template <class T>
inline BackwardScratch backward_scratch(int64_t length, int64_t D) {
  using Sizes = AttentionSizes<T>;
  const int64_t blocks = (length + attention_block - 1) / attention_block, square = attention_block * attention_block * 4;
  const int64_t columns = Sizes::columns_block(D) * 4, pairs = Sizes::pairs_block(D) * 4, sums = attention_block * padded_dim(D) * 4;
  BackwardScratch at;
  at.q_columns = 0;
  at.d_o_columns = at.q_columns + blocks * columns;
  at.q_pairs = at.d_o_columns + blocks * columns;
  at.d_o_pairs = at.q_pairs + blocks * pairs;
  at.lse = at.d_o_pairs + blocks * pairs;
  at.delta = at.lse + blocks * attention_block * 4;
  at.d_q = at.delta + blocks * attention_block * 4;
  at.d_q_rest = at.d_q + blocks * sums;
  at.k_rows = at.d_q_rest + blocks * sums;
  at.v_rows = at.k_rows + columns;
  at.k_pairs = at.v_rows + columns;
  at.s = at.k_pairs + pairs;
  at.d_p = at.s + square;
  at.p = at.d_p + square;
  at.d_s = at.p + square;
  at.d_s_along_keys = at.d_s + square;
  at.d_k = at.d_s_along_keys + square;
  at.d_v = at.d_k + sums;
  at.log_sum = at.d_v + sums;
  at.residual = at.log_sum + (exact<T> ? blocks * attention_block * 4 : 0);
  at.majority = at.residual + (exact<T> ? 2 * blocks * attention_block * 4 : 0);
  at.bytes = at.majority + (exact<T> ? 2 * blocks * attention_block * 4 : 0);
  return at;
}
template <class T>
static int64_t attention_backward_scratch(int64_t length, int64_t D) {
  return backward_scratch<T>(length, D).bytes;
}

/// Units along keys where units are pairs; f32 has no need of them.
inline void store_pairs_of(uint32_t*, const float*, Vec, Vec) {}
template <class Unit>
inline void store_pairs_of(Unit* out, const bf16*, Vec first, Vec second) {
  store_interleaved(out, first, second);
}
inline const float* along_keys(const float* d_s, const uint32_t*) { return d_s; }
inline const uint32_t* along_keys(const bf16*, const uint32_t* d_s_along_keys) { return d_s_along_keys; }

template <class T>
inline float dot_row(const T* a, const T* b, int64_t D) {
  Vec sum = broadcast(0);
  int64_t d = 0;
  for (; d + W <= D; d += W) sum = fma(load(a + d), load(b + d), sum);
  if (d < D) sum = fma(load_tail(a + d, D - d), load_tail(b + d, D - d), sum);
  return reduce_add(sum);
}

/// Rows of sᵀ and d_pᵀ of one or two neighbouring keys: p = e^(scale·s − lse) and d_s = p ∘ (d_p − δ) along queries, and d_s along keys.
/// Queries before `begin` (a multiple of W) do not see the keys: zero. `cap`: s is capped and scale is 1; d_s is that of the score before
/// it.
template <bool capped, class Element>
inline void score_gradient_rows(const float* s, const float* d_p, const float* lse, const float* delta, int64_t rows, int64_t begin,
                                int64_t columns, float scale, float cap, Element* p, Element* d_s, uint32_t* d_s_along_keys) {
  const Vec multiplier = broadcast(scale), zero = broadcast(0);
  for (int64_t c = 0; c < begin; c += W) {
    for (int64_t row = 0; row < rows; ++row) store(p + row * attention_block + c, zero), store(d_s + row * attention_block + c, zero);
    if (per_unit<Element> == 2) store_pairs_of(d_s_along_keys + c, d_s, zero, zero);
  }
  for (int64_t c = begin; c < columns; c += W) {
    const Vec shift = negate(load(lse + c)), minus = load(delta + c);
    const Vec first = exp(fma(load(s + c), multiplier, shift));
    Vec d_first = first * (load(d_p + c) - minus);
    if (capped) d_first = d_first * soft_cap_slope_of(load(s + c), cap);
    store(p + c, first);
    store(d_s + c, d_first);
    Vec d_second = zero;
    if (rows == 2) {
      const Vec second = exp(fma(load(s + attention_block + c), multiplier, shift));
      d_second = second * (load(d_p + attention_block + c) - minus);
      if (capped) d_second = d_second * soft_cap_slope_of(load(s + attention_block + c), cap);
      store(p + attention_block + c, second);
      store(d_s + attention_block + c, d_second);
    }
    if (per_unit<Element> == 2) store_pairs_of(d_s_along_keys + c, d_s, d_first, d_second);
  }
}

/// f32: a tile of sᵀ and d_pᵀ, [keys, block]: p and d_s as above, each query's sum of d_s, and its key of more than half. Capped scores are
/// not balanced: no key is said to have more than half.
template <bool capped>
inline void score_gradients(const float* s, const float* d_p, const float* largest, const float* log_sum, const float* delta, int64_t keys,
                            bool diagonal, int64_t columns, float scale, float cap, int64_t first_key, float* p, float* d_s,
                            float* residual, float* majority) {
  const Vec multiplier = broadcast(scale), zero = broadcast(0), half = broadcast(0.5f);
  for (int64_t c = 0; c < columns; c += W) {
    const Vec shift = negate(load(largest + c)), logs = load(log_sum + c), minus = load(delta + c);
    const int64_t seen = diagonal && c + W < keys ? c + W : keys;  // later keys are masked for all W queries
    Vec sum = load(residual + c), top = load(majority + c);
    for (int64_t key = 0; key < seen; ++key) {
      const int64_t at = key * attention_block + c;
      const Vec probability = exp(below_largest<true>(load(s + at), multiplier, shift) - logs);
      Vec gradient = probability * (load(d_p + at) - minus);
      if (capped) gradient = gradient * soft_cap_slope_of(load(s + at), cap);
      store(p + at, probability);
      store(d_s + at, gradient);
      sum = sum + gradient;
      if (!capped) top = select(less(half, probability), broadcast(static_cast<float>(first_key + key)), top);
    }
    for (int64_t key = seen; key < keys; ++key) store(p + key * attention_block + c, zero), store(d_s + key * attention_block + c, zero);
    store(residual + c, sum);
    store(majority + c, top);
  }
}

/// f32: δ of a block's queries in the order of d_p's sums. `o`: room for the block transposed.
inline void delta_columns(const float* o_rows, int64_t stride, int64_t count, int64_t D, const float* d_o, float* o, float* delta) {
  pack_columns<float>(o_rows, stride, count, D, o);
  for (int64_t c = 0; c < attention_block; c += W) {
    Vec sum = broadcast(0);
    for (int64_t d = 0; d < D; ++d) sum = fma(load(o + d * attention_block + c), load(d_o + d * attention_block + c), sum);
    store(delta + c, sum);
  }
}

/// Σ_j p_ij and Σ_j p_ij·d_p_ij of a block's queries: adds what a tile of sᵀ and d_pᵀ, [keys, block], has of them.
inline void add_means(const float* s, const float* d_p, const float* lse, int64_t keys, bool diagonal, int64_t columns, float scale,
                      float* mass, float* delta) {
  const Vec multiplier = broadcast(scale);
  for (int64_t c = 0; c < columns; c += W) {
    const Vec shift = negate(load(lse + c));
    const int64_t seen = diagonal && c + W < keys ? c + W : keys;  // later keys are masked for all W queries
    Vec all = load(mass + c), sum = load(delta + c);
    for (int64_t key = 0; key < seen; ++key) {
      const int64_t at = key * attention_block + c;
      const Vec probability = exp(fma(load(s + at), multiplier, shift));
      all = all + probability;
      sum = fma(probability, load(d_p + at), sum);
    }
    store(mass + c, all);
    store(delta + c, sum);
  }
}

template <class T>
static void attention_backward(const AttentionBackwardTask<T>* task) {
  using Sizes = AttentionSizes<T>;
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
  float* halves_of_d_q[2] = {reinterpret_cast<float*>(scratch + at.d_q), reinterpret_cast<float*>(scratch + at.d_q_rest)};
  Element* k_rows = reinterpret_cast<Element*>(scratch + at.k_rows);
  Element* v_rows = reinterpret_cast<Element*>(scratch + at.v_rows);
  Unit* k_pairs = reinterpret_cast<Unit*>(scratch + at.k_pairs);
  float* s = reinterpret_cast<float*>(scratch + at.s);
  float* d_p = reinterpret_cast<float*>(scratch + at.d_p);
  Element* p = reinterpret_cast<Element*>(scratch + at.p);
  Element* d_s = reinterpret_cast<Element*>(scratch + at.d_s);
  uint32_t* d_s_along_keys = reinterpret_cast<uint32_t*>(scratch + at.d_s_along_keys);
  float* d_k = reinterpret_cast<float*>(scratch + at.d_k);
  float* d_v = reinterpret_cast<float*>(scratch + at.d_v);
  [[maybe_unused]] float* log_sum = reinterpret_cast<float*>(scratch + at.log_sum);
  [[maybe_unused]] const int64_t padded = blocks * block;
  [[maybe_unused]] float* residuals = reinterpret_cast<float*>(scratch + at.residual);
  [[maybe_unused]] float* majorities = reinterpret_cast<float*>(scratch + at.majority);

  const T *q = task->q, *o = task->o, *d_o = task->d_o;
  const int64_t first_block = task->key_begin / block, middle_block = (task->key_middle + block - 1) / block,
                end_block = (task->key_end + block - 1) / block;
  for (int64_t b = first_block; b < blocks; ++b) {
    const int64_t begin = b * block, count = length - begin < block ? length - begin : block;
    pack_columns<Element>(q + begin * task->q_stride, task->q_stride, count, D, q_columns + b * Sizes::columns_block(D));
    pack_columns<Element>(d_o + begin * task->q_stride, task->q_stride, count, D, d_o_columns + b * Sizes::columns_block(D));
    pack_pairs<Element>(q + begin * task->q_stride, task->q_stride, count, D, q_pairs + b * Sizes::pairs_block(D));
    pack_pairs<Element>(d_o + begin * task->q_stride, task->q_stride, count, D, d_o_pairs + b * Sizes::pairs_block(D));
    for (int64_t i = begin; i < begin + block; ++i) {
      const float* parts = task->lse + i * task->lse_stride;
      lse[i] = i >= length ? 0 : exact<T> ? parts[0] : parts[0] + parts[1];
      if constexpr (exact<T>)
        log_sum[i] = i >= length ? 0 : parts[1];
      else if (!task->sum_delta)
        delta[i] = i >= length ? 0 : dot_row(d_o + i * task->q_stride, o + i * task->q_stride, D);
    }
    if constexpr (exact<T>)
      delta_columns(o + begin * task->q_stride, task->q_stride, count, D, d_o_columns + b * Sizes::columns_block(D), d_v, delta + begin);
  }

  const auto pack_keys = [&](int64_t from, int64_t keys) {
    pack_rows<Element>(task->k + from * task->kv_stride, task->kv_stride, keys, D, k_rows);
    pack_rows<Element>(task->v + from * task->kv_stride, task->kv_stride, keys, D, v_rows);
  };
  // sᵀ, masked, and d_pᵀ of the keys that are packed, of block kb, and queries of block qb; gives the factor of the scores.
  const auto score_tile = [&](int64_t kb, int64_t keys, int64_t qb, int64_t columns) {
    const bool diagonal = qb == kb;
    const int64_t distance = (kb - qb) * block;
    const Triangle upper = diagonal ? Triangle::columns_from_row : Triangle::none;
    const Product<Unit> scores{
        Ku, reinterpret_cast<const Unit*>(k_rows), Ku, 1, q_columns + qb * Sizes::columns_block(D), block, s, block, false, upper};
    multiply(scores, keys, columns / W);
    const Product<Unit> to_p{
        Ku, reinterpret_cast<const Unit*>(v_rows), Ku, 1, d_o_columns + qb * Sizes::columns_block(D), block, d_p, block, false, upper};
    multiply(to_p, keys, columns / W);
    const float factor = finish_scores(*task, s, keys, columns, distance);
    mask_columns(s, keys, columns, diagonal, task->window > 0 ? distance + task->window : columns);
    return factor;
  };
  const auto count_of = [&](int64_t b) { return length - b * block < block ? length - b * block : block; };
  const auto beyond_window = [&](int64_t kb, int64_t qb) {
    return task->window > 0 && qb * block - (kb * block + count_of(kb) - 1) >= task->window;
  };

  if constexpr (!exact<T>)
    if (task->sum_delta) {
      float* mass = halves_of_d_q[0];  // its room, until d_q begins
      for (int64_t i = first_block * block; i < blocks * block; ++i) mass[i] = 0, delta[i] = 0;
      for (int64_t kb = 0; kb < blocks; ++kb) {
        pack_keys(kb * block, count_of(kb));
        for (int64_t qb = kb < first_block ? first_block : kb; qb < blocks && !beyond_window(kb, qb); ++qb) {
          const int64_t columns = (count_of(qb) + W - 1) / W * W;
          const float factor = score_tile(kb, count_of(kb), qb, columns);
          add_means(s, d_p, lse + qb * block, count_of(kb), qb == kb, columns, factor, mass + qb * block, delta + qb * block);
        }
      }
      for (int64_t i = first_block * block; i < length; ++i) delta[i] /= mass[i];
    }

  for (int64_t kb = first_block; kb < end_block; ++kb) {
    float* d_q = halves_of_d_q[kb >= middle_block];
    if (kb == first_block || kb == middle_block)
      for (int64_t i = kb * block * Dp; i < blocks * block * Dp; ++i) d_q[i] = 0;
    [[maybe_unused]] float* residual = residuals + (kb >= middle_block) * padded;
    [[maybe_unused]] float* majority = majorities + (kb >= middle_block) * padded;
    if constexpr (exact<T>)
      if (kb == first_block || kb == middle_block)
        for (int64_t i = kb * block; i < padded; ++i) residual[i] = 0, majority[i] = -1;
    const int64_t from = kb * block, keys = count_of(kb);
    pack_keys(from, keys);
    pack_pairs<Element>(task->k + from * task->kv_stride, task->kv_stride, keys, D, k_pairs);
    for (int64_t qb = kb; qb < blocks; ++qb) {
      if (beyond_window(kb, qb)) break;
      const int64_t begin = qb * block, queries = count_of(qb);
      const int64_t columns = (queries + W - 1) / W * W;
      const bool diagonal = qb == kb, add = !diagonal;  // the diagonal block comes first
      const float cap = task->soft_cap, factor = score_tile(kb, keys, qb, columns);
      if constexpr (exact<T>) {
        const auto gradients = cap > 0 ? &score_gradients<true> : &score_gradients<false>;
        gradients(s, d_p, lse + begin, log_sum + begin, delta + begin, keys, diagonal, columns, factor, cap, from, p, d_s, residual + begin,
                  majority + begin);
      } else {
        const auto gradients = cap > 0 ? &score_gradient_rows<true, Element> : &score_gradient_rows<false, Element>;
        for (int64_t row = 0; row < keys; row += per)
          gradients(s + row * block, d_p + row * block, lse + begin, delta + begin, keys - row < per ? 1 : per, diagonal ? row / W * W : 0,
                    columns, factor, cap, p + row * block, d_s + row * block, d_s_along_keys + row / per * block);
      }
      const int64_t steps = units_of<Element>(queries);
      const Triangle from_row = diagonal ? Triangle::steps_from_row : Triangle::none,
                     to_row = diagonal ? Triangle::steps_to_row : Triangle::none;
      const Product<Unit> to_v{
          steps, reinterpret_cast<const Unit*>(p), block / per, 1, d_o_pairs + qb * Sizes::pairs_block(D), Dp, d_v, Dp, add, from_row};
      multiply(to_v, keys, Dp / W);
      const Product<Unit> to_k{
          steps, reinterpret_cast<const Unit*>(d_s), block / per, 1, q_pairs + qb * Sizes::pairs_block(D), Dp, d_k, Dp, add, from_row};
      multiply(to_k, keys, Dp / W);
      const Product<Unit> to_q{
          units_of<Element>(keys), along_keys(d_s, d_s_along_keys), 1, block, k_pairs, Dp, d_q + begin * Dp, Dp, true, to_row};
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
  if constexpr (exact<T>)
    for (int64_t half = first_block >= middle_block; half <= (end_block > middle_block); ++half)
      for (int64_t i = half == 0 ? 0 : task->key_middle; i < length; ++i) {
        task->residual[half][i] = residuals[half * padded + i];
        task->majority[half][i] = majorities[half * padded + i];
      }
  const Vec scale = broadcast(task->scale);
  if (task->d_q == nullptr) {
    const float* d_q = halves_of_d_q[first_block >= middle_block];
    for (int64_t i = task->key_begin; i < length; ++i)
      for (int64_t d = 0; d < D; d += W) {
        float* out = task->d_q_share + i * D + d;
        const Vec share = load(d_q + i * Dp + d) * scale;
        D - d < W ? store_tail(out, share, D - d) : store(out, share);
      }
    return;
  }
  T* out = task->d_q;
  for (int64_t i = 0; i < length; ++i, out += task->q_stride)
    for (int64_t d = 0; d < D; d += W) {
      Vec sum = load(halves_of_d_q[0] + i * Dp + d) * scale;
      if (i >= task->key_middle) sum = sum + load(halves_of_d_q[1] + i * Dp + d) * scale;
      D - d < W ? store_tail(out + d, sum, D - d) : store(out + d, sum);
    }
}

constexpr auto attention_backward_scratch_f32 = &attention_backward_scratch<float>;
constexpr auto attention_backward_scratch_bf16 = &attention_backward_scratch<bf16>;
constexpr auto attention_backward_f32 = &attention_backward<float>;
constexpr auto attention_backward_bf16 = &attention_backward<bf16>;
