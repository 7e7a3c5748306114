/// Which elements dropout keeps: element e's draw is word e mod 4 of Philox counter e div 4 (base/philox.h), kept when it reaches p.
/// W counters are worked on side by side.

constexpr int philox_vecs = W == 1 ? 32 : 2;  // independent chains hide the latency of the products
constexpr int philox_counters = philox_vecs * W;

/// words[4·j + i]: word i of counter first + j. The low half of `first` is a multiple of philox_counters, so that it does not overflow
/// within.
static void philox_block(uint64_t key, uint64_t stream, uint64_t first, uint32_t* words) {
  Words c[philox_vecs][4];
  for (int v = 0; v < philox_vecs; ++v) {
    c[v][0] = count_from(static_cast<uint32_t>(first) + static_cast<uint32_t>(v * W)), c[v][1] = same(static_cast<uint32_t>(first >> 32));
    c[v][2] = same(static_cast<uint32_t>(stream)), c[v][3] = same(static_cast<uint32_t>(stream >> 32));
  }
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
    for (int v = 0; v < philox_vecs; ++v) {
      Words low0, high0, low1, high1;
      multiply_wide(c[v][0], 0xD2511F53u, low0, high0);
      multiply_wide(c[v][2], 0xCD9E8D57u, low1, high1);
      c[v][0] = exclusive_or(high1, c[v][1], same(k0)), c[v][1] = low1;
      c[v][2] = exclusive_or(high0, c[v][3], same(k1)), c[v][3] = low0;
    }
  uint32_t separate[4][philox_counters];
  for (int i = 0; i < 4; ++i)
    for (int v = 0; v < philox_vecs; ++v) store(separate[i] + v * W, c[v][i]);
  for (int j = 0; j < philox_counters; ++j)
    for (int i = 0; i < 4; ++i) words[4 * j + i] = separate[i][j];
}

static void draw_kept(uint64_t key, uint64_t stream, uint64_t index, int64_t count, uint32_t threshold, uint8_t* keep) {
  uint32_t words[4 * philox_counters];
  uint64_t counter = index / 4 / philox_counters * philox_counters;
  int64_t skip = static_cast<int64_t>(index - 4 * counter);
  for (int64_t done = 0; done < count; counter += philox_counters, skip = 0) {
    philox_block(key, stream, counter, words);
    const int64_t left = count - done, here = 4 * philox_counters - skip < left ? 4 * philox_counters - skip : left;
    for (int64_t i = 0; i < here; ++i) keep[done + i] = (words[skip + i] >> 8) >= threshold;
    done += here;
  }
}
