// Blocks of ChaCha20, `lanes` side by side: word w of block b is lane b of x[w] (RFC 8439 §2.3). Part of kernels.inl.

#define FEDLORA_ROTATE(v, n) ((v) << (n) | (v) >> (32 - (n)))
#define FEDLORA_QUARTER(a, b, c, d)                                                                                                       \
  a += b, d ^= a, d = FEDLORA_ROTATE(d, 16), c += d, b ^= c, b = FEDLORA_ROTATE(b, 12), a += b, d ^= a, d = FEDLORA_ROTATE(d, 8), c += d, \
                  b ^= c, b = FEDLORA_ROTATE(b, 7)

/// words [16][lanes] become the bytes of the blocks one after the other: squares of lanes × lanes are transposed by log₂ lanes zips.
inline void lay_out(Vector* x) {
  for (int square = 0; square < 16; square += lanes) {
    for (int width = 1; width < lanes; width *= 2) {
      Vector zipped[lanes];
      for (int i = 0; i < lanes / 2; ++i) {
        const Vector &a = x[square + i], &b = x[square + i + lanes / 2];
        zipped[2 * i] = FEDLORA_SHUFFLE(a, b, FEDLORA_ZIP_LOW), zipped[2 * i + 1] = FEDLORA_SHUFFLE(a, b, FEDLORA_ZIP_HIGH);
      }
      for (int i = 0; i < lanes; ++i) x[square + i] = zipped[i];
    }
  }
}

template <class Words>
void add_stream(const uint32_t* key, uint32_t counter, bool negative, int64_t groups, uint8_t* bytes) {
  Vector start[16];
  for (int w = 0; w < 16; ++w) start[w] = Vector{} + (w < 4 ? chacha20_constants[w] : w < 12 ? key[w - 4] : 0);
  for (int lane = 0; lane < lanes; ++lane) start[12][lane] = counter + static_cast<uint32_t>(lane);
  const Words flip = negative ? ~Words{} : Words{};  // −s = (s ^ −1) − (−1)
  for (int64_t group = 0; group < groups; ++group, start[12] += lanes, bytes += 64 * lanes) {
    Vector x[16];
    for (int w = 0; w < 16; ++w) x[w] = start[w];
    for (int round = 0; round < 10; ++round) {
      FEDLORA_QUARTER(x[0], x[4], x[8], x[12]), FEDLORA_QUARTER(x[1], x[5], x[9], x[13]);
      FEDLORA_QUARTER(x[2], x[6], x[10], x[14]), FEDLORA_QUARTER(x[3], x[7], x[11], x[15]);
      FEDLORA_QUARTER(x[0], x[5], x[10], x[15]), FEDLORA_QUARTER(x[1], x[6], x[11], x[12]);
      FEDLORA_QUARTER(x[2], x[7], x[8], x[13]), FEDLORA_QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (int w = 0; w < 16; ++w) x[w] += start[w];
    lay_out(x);
    for (int block = 0; block < lanes; ++block)
      for (int part = 0; part < 16 / lanes; ++part) {
        uint8_t* place = bytes + 64 * block + 4 * lanes * part;
        Words words, mask;
        std::memcpy(&words, place, sizeof words);
        std::memcpy(&mask, &x[part * lanes + block], sizeof mask);
        words += (mask ^ flip) - flip;
        std::memcpy(place, &words, sizeof words);
      }
  }
}

#undef FEDLORA_QUARTER
#undef FEDLORA_ROTATE
