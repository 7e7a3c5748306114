/// Which elements dropout keeps: element e's draw is word e mod 4 of Philox counter e div 4 (base/philox.h), kept when it reaches p. The
/// counters of a block are worked on side by side, in loops that the compiler turns into vectors.

constexpr int philox_counters = 32;

/// words[4·j + i]: word i of counter first + j.
static void philox_block(uint64_t key, uint64_t stream, uint64_t first, uint32_t* words) {
  uint32_t c0[philox_counters], c1[philox_counters], c2[philox_counters], c3[philox_counters];
  for (int j = 0; j < philox_counters; ++j) {
    const uint64_t counter = first + static_cast<uint64_t>(j);
    c0[j] = static_cast<uint32_t>(counter), c1[j] = static_cast<uint32_t>(counter >> 32);
    c2[j] = static_cast<uint32_t>(stream), c3[j] = static_cast<uint32_t>(stream >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
    for (int j = 0; j < philox_counters; ++j) {
      const uint64_t p0 = 0xD2511F53ull * c0[j], p1 = 0xCD9E8D57ull * c2[j];
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[j] ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[j] ^ k1;
      c1[j] = static_cast<uint32_t>(p1), c3[j] = static_cast<uint32_t>(p0);
      c0[j] = n0, c2[j] = n2;
    }
  for (int j = 0; j < philox_counters; ++j) {
    words[4 * j] = c0[j], words[4 * j + 1] = c1[j];
    words[4 * j + 2] = c2[j], words[4 * j + 3] = c3[j];
  }
}

static void draw_kept(uint64_t key, uint64_t stream, uint64_t index, int64_t count, uint32_t threshold, uint8_t* keep) {
  uint32_t words[4 * philox_counters];
  uint64_t counter = index / 4;
  int64_t skip = static_cast<int64_t>(index % 4);
  for (int64_t done = 0; done < count; counter += philox_counters, skip = 0) {
    philox_block(key, stream, counter, words);
    const int64_t left = count - done, here = 4 * philox_counters - skip < left ? 4 * philox_counters - skip : left;
    for (int64_t i = 0; i < here; ++i) keep[done + i] = (words[skip + i] >> 8) >= threshold;
    done += here;
  }
}
