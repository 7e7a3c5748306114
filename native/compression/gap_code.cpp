// Where the probabilities of gaps begin: powers of q in fixed point, of 2^-32, so that every machine has the same.
#include "compression/gap_code.h"

namespace fedlora {

namespace {
constexpr uint64_t one = uint64_t{1} << 32;

uint64_t product(uint64_t a, uint64_t b) { return (a >> 16) * (b >> 16) + (((a >> 16) * (b & 0xffff) + (a & 0xffff) * (b >> 16)) >> 16); }

AdaptiveBit begun_at(uint64_t probability, int confidence) {
  return {static_cast<uint16_t>(std::clamp<uint64_t>(probability >> 16, 64, 65535 - 64)), static_cast<uint16_t>(confidence)};
}
}  // namespace

GapModel::GapModel(int64_t count, int64_t sent) {
  mean_of_all_ = (static_cast<uint64_t>(count) << mean_bits) / static_cast<uint64_t>(sent);
  mean_ = static_cast<int64_t>(mean_of_all_);
  // Context c has the density p · 2^((middle − c)/2), at most 15/16.
  constexpr uint64_t root_of_two = 92682;  // · 2^-16
  uint64_t density = (static_cast<uint64_t>(sent) << 32) / static_cast<uint64_t>(count);
  for (int c = contexts / 2; c > 0; --c) density = density * root_of_two >> 16;
  for (Context& at : contexts_) {
    uint64_t powers[widest + 1];  // q^(2^w)
    powers[0] = one - std::min(density, one / 16 * 15);
    for (int w = 1; w <= widest; ++w) powers[w] = product(powers[w - 1], powers[w - 1]);
    for (int w = 0; w <= widest; ++w) {
      at.longer[w] = begun_at(powers[w], confidence);
      for (int node = 1; node < 1 << modelled; ++node) {
        const int half = w - static_cast<int>(std::bit_width(static_cast<unsigned>(node)));
        if (half >= 0) at.upper[w][node] = begun_at((powers[half] << 24) / (one + powers[half]) << 8, confidence);
      }
    }
    density = density * 65536 / root_of_two;
  }
}

}  // namespace fedlora
