/// y[i] = Σ_k W[row + i, k]·x[k] for one row of activations: a weight is used once, so it is not laid out for reuse. Packed weights are
/// unpacked a piece at a time into the first cache; numbers are read where they lie. Four vectors of sums run along k and are added at the
/// end, in an order that depends on K alone.

constexpr int matvec_sums = 4;
constexpr int64_t matvec_piece = 1024;  // a multiple of every vector length times matvec_sums

template <class Source>
FEDLORA_INLINE void add_products(const Source* w, const float* x, int64_t count, Vec (&sum)[matvec_sums]) {
  int64_t k = 0;
  for (; k + matvec_sums * W <= count; k += matvec_sums * W)
    for (int i = 0; i < matvec_sums; ++i) sum[i] = fma(load(w + k + i * W), load(x + k + i * W), sum[i]);
  for (; k + W <= count; k += W) sum[0] = fma(load(w + k), load(x + k), sum[0]);
  if (k < count) sum[1] = fma(load_tail(w + k, count - k), load_tail(x + k, count - k), sum[1]);
}

constexpr int64_t chunk_codes = 64;     // every 4-bit block is a multiple of it
constexpr int64_t group_codes = 8 * W;  // what a vector of codes holds: two chunks or a part of one

static int64_t code_order_floats(int64_t K) { return (K + group_codes - 1) / group_codes * group_codes; }
/// x in the order in which look_up gives the codes of a group, nibble by nibble; zero past the end.
static void order_for_codes(const float* x, int64_t K, float* ordered) {
  for (int64_t group = 0; group < K; group += group_codes, ordered += group_codes)
    for (int64_t j = 0; j < 8; ++j)
      for (int64_t lane = 0; lane < W; ++lane) {
        const int64_t k = group + 8 * lane + (j ^ 1);
        ordered[j * W + lane] = k < K ? x[k] : 0;
      }
}

/// Σ of a group: codes looked up and multiplied in registers.
inline Vec group_products(const CodeTable& table, Codes codes, const float* x) {
  Vec even = look_up<0>(table, codes) * load(x), odd = look_up<1>(table, codes) * load(x + W);
  even = fma(look_up<2>(table, codes), load(x + 2 * W), even);
  odd = fma(look_up<3>(table, codes), load(x + 3 * W), odd);
  even = fma(look_up<4>(table, codes), load(x + 4 * W), even);
  odd = fma(look_up<5>(table, codes), load(x + 5 * W), odd);
  even = fma(look_up<6>(table, codes), load(x + 6 * W), even);
  odd = fma(look_up<7>(table, codes), load(x + 7 * W), odd);
  return even + odd;
}

/// Rows of whole chunks; a block's scale multiplies its sum.
static void matvec_4bit(const WeightView& view, int64_t row, int64_t rows, const float* ordered, float* y) {
  const WeightView w = view;
  const CodeTable table = make_code_table(w.codebook);
  for (int64_t i = 0; i < rows; ++i) {
    int64_t at = (row + i) * w.K;
    const int64_t end = at + w.K;
    const uint8_t* codes = w.data + at / 2;
    const float* x = ordered;
    Vec total = broadcast(0);
    for (; at + group_codes <= end; at += group_codes, x += group_codes, codes += group_codes / 2) {
      prefetch(codes + 2048);
      const int64_t last = at + (group_codes > chunk_codes ? chunk_codes : 0);
      const Vec scale = halves(block_absmax(w, at >> w.block_shift), block_absmax(w, last >> w.block_shift));
      total = fma(group_products(table, load_codes(codes), x), scale, total);
    }
    if (at < end) {  // half a group
      const float absmax = block_absmax(w, at >> w.block_shift);
      total = fma(group_products(table, load_half_codes(codes), x), halves(absmax, 0), total);
    }
    y[i] = reduce_add(total);
  }
}

static void matvec(const WeightView& view, int64_t row, int64_t rows, const float* x, const float* ordered, float* y) {
  const WeightView w = view;
  if (w.block_shift > 0 && w.K % chunk_codes == 0) return matvec_4bit(w, row, rows, ordered, y);
  for (int64_t i = 0; i < rows; ++i) {
    Vec sum[matvec_sums];
    for (Vec& one : sum) one = broadcast(0);
    if (w.format == Format::bf16) {
      const bf16* numbers = reinterpret_cast<const bf16*>(w.data) + (row + i) * w.K;
      add_products(numbers, x, w.K, sum);
    } else if (w.format == Format::f32) {
      const float* numbers = reinterpret_cast<const float*>(w.data) + (row + i) * w.K;
      add_products(numbers, x, w.K, sum);
    } else {
      alignas(64) float piece[matvec_piece];
      for (int64_t k = 0; k < w.K; k += matvec_piece) {
        const int64_t count = w.K - k < matvec_piece ? w.K - k : matvec_piece;
        if (w.format == Format::int8)
          decode_int8<float>(w, row + i, 1, k, count, piece, count);
        else if (w.format == Format::f16)
          decode_plain<float>(w, row + i, 1, k, count, piece, count);
        else
          decode_4bit<float>(w, row + i, 1, k, count, piece, count);
        add_products(piece, x + k, count, sum);
      }
    }
    y[i] = reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3])) * w.scale;
  }
}
