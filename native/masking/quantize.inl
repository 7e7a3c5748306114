// Quantisation in loops that a compiler vectorises for the set of the namespace it is included in. The conversions of a double to 32 bits
// are exact: q ≤ 2^24 − 1.

void quantize(const float* values, int64_t count, const Grid& grid, const Draws& draws, uint64_t first, uint32_t* q) {
  const double clip = grid.clip, top = grid.top(), width = 2 * grid.clip;
  for (int64_t i = 0; i < count; i += 64, first += 64) {
    alignas(64) uint32_t words[64];  // word w of the draw at counter c is words[16 w + c]
    philox64(draws.seed, draws.stream, first / 4, words);
    const int64_t here = count - i < 64 ? count - i : 64;
    for (int64_t j = 0; j < here; ++j) {
      const double u = static_cast<double>(static_cast<int32_t>(words[16 * (j & 3) + (j >> 2)] >> 8)) * 0x1p-24;
      double x = static_cast<double>(values[i + j]);
      x = x < -clip ? -clip : x;
      x = x > clip ? clip : x;
      const double code = (x + clip) * top / width + u;
      q[i + j] = static_cast<uint32_t>(static_cast<int32_t>(code < top ? code : top));
    }
  }
}
