// What the machine can do at most. Arithmetic in registers: as many independent sums as the instruction's latency needs, nothing
// loaded, nothing stored. Reading: loads and additions only, in two streams, because one alone leaves the prefetcher with spare room.

constexpr int roof_sums = W == 16 || W == 4 ? 16 : 12;

/// `rounds` × roof_sums × W multiply-adds of f32. Returns flop; the sums go to `sink` so that they are needed.
double roof_f32(int64_t rounds, float* sink) {
  Vec sums[roof_sums];
  for (int i = 0; i < roof_sums; ++i) sums[i] = broadcast(sink[0]);
  const Vec a = broadcast(sink[1]), b = broadcast(sink[2]);
  for (int64_t round = 0; round < rounds; ++round)
    for (int i = 0; i < roof_sums; ++i) sums[i] = fma(a, b, sums[i]);
  Vec total = sums[0];
  for (int i = 1; i < roof_sums; ++i) total = total + sums[i];
  sink[0] = reduce_add(total) * 0.0f;
  return 2.0 * W * roof_sums * static_cast<double>(rounds);
}

inline double roof_of(float, int64_t rounds, float* sink) { return roof_f32(rounds, sink); }
template <class Pairs>
inline double roof_of(Pairs, int64_t rounds, float* sink) {
  Vec sums[roof_sums];
  for (int i = 0; i < roof_sums; ++i) sums[i] = broadcast(sink[0]);
  uint32_t b[W];
  for (int i = 0; i < W; ++i) b[i] = 0x3f803f80u;
  for (int64_t round = 0; round < rounds; ++round)
    for (int i = 0; i < roof_sums; ++i) sums[i] = dot_unit(sums[i], 0x3c003c00u, b);
  Vec total = sums[0];
  for (int i = 1; i < roof_sums; ++i) total = total + sums[i];
  sink[0] = reduce_add(total) * 0.0f;
  return 4.0 * W * roof_sums * static_cast<double>(rounds);
}
/// The same with what bf16 products are made of here: dot products of pairs, or f32 where the instruction set has none.
double roof_bf16(int64_t rounds, float* sink) { return roof_of(DotElement{}, rounds, sink); }

float roof_read(const float* x, int64_t count) {
  constexpr int sums_each = 4;
  Vec sums[2 * sums_each];
  for (Vec& sum : sums) sum = broadcast(0.0f);
  const int64_t half = count / 2;
  for (int64_t i = 0; i < half; i += sums_each * W)
    for (int j = 0; j < sums_each; ++j) {
      sums[j] = sums[j] + load(x + i + j * W);
      sums[sums_each + j] = sums[sums_each + j] + load(x + half + i + j * W);
    }
  Vec total = sums[0];
  for (int j = 1; j < 2 * sums_each; ++j) total = total + sums[j];
  return reduce_add(total);
}
