// Every loop of the codecs at every instruction set: what it gives, element by element, and that it writes nothing beside it.
#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "compression/kernels.h"
#include "compression/wire.h"
#include "harness.h"

using namespace fedlora;

namespace {

constexpr int64_t lengths[] = {0, 1, 15, 63, 64, 65, 127, 128, 129, 1000};
constexpr int64_t block_counts[] = {0, 1, 2, 5};

/// Room for `count` elements between others that must stay as they are.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t count) : all_(static_cast<size_t>(count) + 2 * margin, guard), count_(static_cast<size_t>(count)) {}
  T* data() { return all_.data() + margin; }
  T operator[](int64_t i) const { return all_[margin + static_cast<size_t>(i)]; }
  bool intact() const {
    const std::span<const T> whole(all_);
    const auto untouched = [](T value) { return value == guard; };
    return std::ranges::all_of(whole.first(margin), untouched) && std::ranges::all_of(whole.subspan(margin + count_), untouched);
  }

 private:
  static constexpr size_t margin = 128;
  static constexpr T guard = static_cast<T>(101);
  std::vector<T> all_;
  size_t count_;
};

/// Magnitudes from denormals to the largest, zeros among them, both signs.
std::vector<float> draw(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    const uint32_t bits = static_cast<uint32_t>(random());
    value = random() % 9 == 0 ? std::bit_cast<float>(bits & 0x80000000u) : std::bit_cast<float>(bits & 0xbf7fffffu);
  }
  return values;
}

uint32_t magnitude(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }

template <class Judge>
void at_every_isa(const Judge& judge) {
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) judge(codec_kernels(static_cast<Isa>(level)));
}

}  // namespace

CASE("update + residual, the largest magnitude, and that of each block") {
  at_every_isa([](const CodecKernels& kernels) {
    for (const int64_t count : lengths)
      for (const bool kept : {false, true}) {
        const std::vector<float> update = draw(count, 1), residual = draw(count, 2);
        Guarded<float> target(count);
        const uint32_t largest = kernels.add_residual(update.data(), kept ? residual.data() : nullptr, target.data(), count);
        uint32_t expected = 0;
        for (int64_t i = 0; i < count; ++i) {
          const size_t at = static_cast<size_t>(i);
          const float sum = kept ? update[at] + residual[at] : update[at];
          CHECK(std::bit_cast<uint32_t>(target[i]) == std::bit_cast<uint32_t>(sum));
          expected = std::max(expected, magnitude(sum));
        }
        CHECK(largest == expected && target.intact());
      }
    for (const size_t place : {0, 127, 128, 500, 895, 896, 999}) {  // the largest in any block, and behind the last whole one
      std::vector<float> update = draw(1000, 1);
      update[place] = -0x1.fffffep127f;
      Guarded<float> target(1000);
      CHECK(kernels.add_residual(update.data(), nullptr, target.data(), 1000) == 0x7f7fffffu);
    }
    for (const int64_t blocks : block_counts) {
      std::vector<float> values = draw(blocks * update_block, 3);
      if (blocks > 1) std::fill(values.end() - update_block, values.end(), 0.0f);
      Guarded<uint32_t> largest(blocks);
      kernels.block_largest(values.data(), blocks, largest.data());
      for (int64_t b = 0; b < blocks; ++b) {
        uint32_t expected = 0;
        for (int64_t i = b * update_block; i < (b + 1) * update_block; ++i)
          expected = std::max(expected, magnitude(values[static_cast<size_t>(i)]));
        CHECK(largest[b] == expected);
      }
      CHECK(largest.intact());
    }
  });
}

CASE("codes: one of the two neighbours within the limit, what they leave, and back") {
  at_every_isa([](const CodecKernels& kernels) {
    for (const int64_t blocks : block_counts)
      for (const int limit : {7, 127}) {
        const int64_t count = blocks * update_block;
        std::mt19937_64 random(4);
        std::vector<float> target(static_cast<size_t>(count)), scales(static_cast<size_t>(blocks));
        for (size_t b = 0; b < scales.size(); ++b) scales[b] = b == 1 ? 0x1p-120f : b == 2 ? 0.0f : 0.037f;
        for (size_t i = 0; i < target.size(); ++i)
          target[i] = (static_cast<float>(random() % 2001) / 1000 - 1) * static_cast<float>(limit) * scales[i / update_block];
        Guarded<int8_t> codes(count), alone(count), expected(count);
        Guarded<float> residual(count), values(count);
        kernels.quantize(target.data(), scales.data(), blocks, limit, 11, 256, codes.data(), residual.data());
        kernels.quantize(target.data(), scales.data(), blocks, limit, 11, 256, alone.data(), nullptr);
        codec_kernels(Isa::scalar).quantize(target.data(), scales.data(), blocks, limit, 11, 256, expected.data(), nullptr);
        for (int64_t i = 0; i < count; ++i) {
          const float scale = scales[static_cast<size_t>(i / update_block)], value = target[static_cast<size_t>(i)];
          CHECK(codes[i] == expected[i] && alone[i] == expected[i] && std::abs(codes[i]) <= limit);
          CHECK(residual[i] == value - static_cast<float>(codes[i]) * scale);
          CHECK_LE(std::fabs(residual[i]), scale * (1 + 0x1p-8f));  // the quotient is at most 2^-16 of a step off, times 127
        }
        CHECK(codes.intact() && alone.intact() && residual.intact());
        for (const int64_t some : {count, count - 1, count / 2 + 3}) {
          if (some < 0 || some > count) continue;
          Guarded<float> part(some);
          kernels.dequantize(codes.data(), scales.data(), some, part.data());
          for (int64_t i = 0; i < some; ++i) CHECK(part[i] == static_cast<float>(codes[i]) * scales[static_cast<size_t>(i / update_block)]);
          CHECK(part.intact());
        }
      }
  });
}

CASE("codes of four bits: two a byte, the first in the low half") {
  at_every_isa([](const CodecKernels& kernels) {
    for (const int64_t bytes : lengths) {
      std::mt19937_64 random(5);
      std::vector<int8_t> codes(static_cast<size_t>(2 * bytes));
      for (int8_t& code : codes) code = static_cast<int8_t>(static_cast<int>(random() % 16) - 8);
      Guarded<uint8_t> packed(bytes);
      Guarded<int8_t> back(2 * bytes);
      kernels.pack_int4(codes.data(), bytes, packed.data());
      kernels.unpack_int4(packed.data(), bytes, back.data());
      for (int64_t i = 0; i < bytes; ++i) {
        const size_t at = static_cast<size_t>(2 * i);
        CHECK(packed[i] == ((codes[at] & 15) | (codes[at + 1] & 15) << 4));
        CHECK(back[2 * i] == codes[at] && back[2 * i + 1] == codes[at + 1]);
      }
      CHECK(packed.intact() && back.intact());
    }
  });
}

CASE("bf16: to the nearest, ties to even, never infinite; back, and the range") {
  at_every_isa([](const CodecKernels& kernels) {
    for (const int64_t count : lengths) {
      std::vector<float> values = draw(count, 6);
      const uint32_t edges[] = {0x3f808000u, 0x3f818000u, 0x3f807fffu, 0x3f808001u, 0xbf808000u, 0x7f7fffffu, 0xff7fffffu, 0x00008000u};
      for (size_t i = 0; i < values.size() && i < std::size(edges); ++i) values[i] = std::bit_cast<float>(edges[i]);
      const std::vector<uint16_t> known = {0x3f80, 0x3f82, 0x3f80, 0x3f81, 0xbf80, 0x7f7f, 0xff7f, 0x0000};
      Guarded<uint16_t> words(count), alone(count);
      Guarded<float> residual(count), back(count);
      kernels.encode_bf16(values.data(), count, words.data(), residual.data());
      kernels.encode_bf16(values.data(), count, alone.data(), nullptr);
      const uint8_t* bytes = reinterpret_cast<const uint8_t*>(words.data());
      kernels.decode_bf16(bytes, count, back.data());
      uint32_t smallest = ~0u, largest = 0;
      for (int64_t i = 0; i < count; ++i) {
        const float value = values[static_cast<size_t>(i)];
        if (static_cast<size_t>(i) < known.size()) CHECK(words[i] == known[static_cast<size_t>(i)]);
        CHECK(alone[i] == words[i] && std::bit_cast<uint32_t>(back[i]) == static_cast<uint32_t>(words[i]) << 16);
        CHECK(residual[i] == value - back[i]);
        if (magnitude(back[i]) < 0x7f7f0000u) {  // no neighbour is nearer
          for (const int step : {-1, 1}) {
            const float other = std::bit_cast<float>(static_cast<uint32_t>(words[i] + step) << 16);
            CHECK(!(std::fabs(static_cast<double>(value) - other) < std::fabs(static_cast<double>(value) - back[i])));
          }
        }
        const uint32_t bits = words[i] & 0x7fffu;
        largest = std::max(largest, bits);
        if (bits != 0) smallest = std::min(smallest, bits);
      }
      CHECK(words.intact() && alone.intact() && residual.intact() && back.intact());
      const MagnitudeBits range = kernels.range_bf16(bytes, count);
      CHECK(range.smallest == smallest && range.largest == largest);
    }
  });
}

CASE("ranges, bins, digits and masks of magnitudes") {
  at_every_isa([](const CodecKernels& kernels) {
    for (const int64_t count : lengths) {
      const std::vector<float> values = draw(count, 7);
      uint32_t smallest = ~0u, largest = 0;
      for (const float value : values) {
        largest = std::max(largest, magnitude(value));
        if (magnitude(value) != 0) smallest = std::min(smallest, magnitude(value));
      }
      const MagnitudeBits range = kernels.range_f32(values.data(), count);
      CHECK(range.smallest == smallest && range.largest == largest);

      Guarded<uint16_t> bins(count), digits(count);
      kernels.magnitude_bins(values.data(), count, bins.data());
      for (int64_t i = 0; i < count; ++i) CHECK(bins[i] == magnitude(values[static_cast<size_t>(i)]) >> 20);
      for (const int shift : {0, 10, 20}) {
        const uint32_t prefix = count == 0 ? 0 : magnitude(values.back()) >> shift >> 10;
        kernels.magnitude_digits(values.data(), count, prefix, shift, digits.data());
        for (int64_t i = 0; i < count; ++i) {
          const uint32_t bits = magnitude(values[static_cast<size_t>(i)]) >> shift;
          CHECK(digits[i] == (bits >> 10 == prefix ? bits % 1024 : 1024));
        }
      }
      CHECK(bins.intact() && digits.intact());
    }
    for (const int64_t words : {0, 1, 2, 9}) {
      const std::vector<float> values = draw(64 * words, 8);
      for (const uint32_t threshold : {0u, 1u, words == 0 ? 0x3f000000u : magnitude(values[5]), 0x7f800000u}) {
        Guarded<uint64_t> masks(words);
        kernels.select_mask(values.data(), 64 * words, threshold, masks.data());
        for (int64_t i = 0; i < 64 * words; ++i)
          CHECK((masks[i / 64] >> (i % 64) & 1) == (magnitude(values[static_cast<size_t>(i)]) >= threshold ? 1 : 0));
        CHECK(masks.intact());
      }
    }
  });
}

CASE("signs: a bit an element, what it leaves, and back; sums of magnitudes") {
  at_every_isa([](const CodecKernels& kernels) {
    for (const int64_t blocks : block_counts) {
      const int64_t count = blocks * sign_block;
      const std::vector<float> target = draw(count, 9);
      std::vector<float> scales(static_cast<size_t>(blocks));
      for (size_t b = 0; b < scales.size(); ++b) scales[b] = b == 1 ? 0.0f : 0.25f + static_cast<float>(b);
      Guarded<uint8_t> bits(count / 8), alone(count / 8);
      Guarded<float> residual(count), back(count);
      Guarded<double> sums(blocks);
      kernels.encode_signs(target.data(), scales.data(), blocks, bits.data(), residual.data());
      kernels.encode_signs(target.data(), scales.data(), blocks, alone.data(), nullptr);
      kernels.decode_signs(bits.data(), scales.data(), blocks, back.data());
      kernels.sum_magnitudes(target.data(), blocks, sums.data());
      for (int64_t b = 0; b < blocks; ++b) {
        double running[16] = {}, sum = 0;
        for (int64_t i = b * sign_block; i < (b + 1) * sign_block; ++i) {
          const float value = target[static_cast<size_t>(i)], scale = scales[static_cast<size_t>(b)];
          const bool negative = std::signbit(value);
          CHECK((bits[i / 8] >> (i % 8) & 1) == negative && alone[i / 8] == bits[i / 8]);
          CHECK(std::bit_cast<uint32_t>(back[i]) == std::bit_cast<uint32_t>(negative ? -scale : scale));
          CHECK(residual[i] == value - back[i]);
          running[i % 16] += std::fabs(static_cast<double>(value));
        }
        for (const double part : running) sum += part;
        CHECK(sums[b] == sum);
      }
      CHECK(bits.intact() && alone.intact() && residual.intact() && back.intact() && sums.intact());
    }
  });
}

CASE("products of factors: dots in sixteen sums, columns added up, rows of P Qᵀ") {
  at_every_isa([](const CodecKernels& kernels) {
    for (const int64_t count : lengths) {
      std::mt19937_64 random(17);
      std::uniform_real_distribution<float> uniform(-1, 1);
      const auto some = [&](int64_t n) {
        std::vector<float> values(static_cast<size_t>(n));
        for (float& value : values) value = uniform(random);
        return values;
      };
      const std::vector<float> a = some(count), b = some(count);
      double running[16] = {}, sum = 0;  // a product of two floats is exact in double
      for (size_t i = 0; i < a.size(); ++i) running[i % 16] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
      for (const double part : running) sum += part;
      CHECK(kernels.dot(a.data(), b.data(), count) == sum);

      Guarded<double> sums(count);
      std::fill_n(sums.data(), count, 3.0);
      kernels.add_scaled(0.5, a.data(), count, sums.data());
      for (int64_t i = 0; i < count; ++i) CHECK(sums[i] == 3 + 0.5 * static_cast<double>(a[static_cast<size_t>(i)]));

      constexpr int64_t rank = 3;
      const int64_t stride = count + 5;
      const std::vector<float> p = some(rank), q = some(rank * stride);
      Guarded<float> row(count);
      kernels.low_rank_row(p.data(), q.data(), rank, stride, count, row.data());
      for (int64_t j = 0; j < count; ++j) {
        float value = p[0] * q[static_cast<size_t>(j)];
        for (int64_t r = 1; r < rank; ++r) value += p[static_cast<size_t>(r)] * q[static_cast<size_t>(r * stride + j)];
        CHECK(row[j] == value);
      }
      CHECK(sums.intact() && row.intact());
    }
  });
}

CASE("canary: one element more is seen behind the end") {
  Guarded<float> room(3);
  std::fill_n(room.data(), 3, 1.0f);
  CHECK(room.intact());
  std::fill_n(room.data(), 4, 1.0f);
  CHECK(!room.intact());
}

TEST_MAIN()
