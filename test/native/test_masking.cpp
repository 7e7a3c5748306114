// Masking: the keystream by RFC 8439's own vectors and beside a plain ChaCha20, sums of masks, quantisation beside its formula, sharing
// over GF(2⁸).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/philox.h"
#include "harness.h"
#include "masking/kernels.h"
#include "masking/masks.h"
#include "masking/quantize.h"
#include "masking/shamir.h"

using namespace fedlora;

namespace {
using Bytes = std::vector<uint8_t>;
using Key = std::array<uint8_t, 32>;

Bytes bytes_of(const std::string& hex) {
  Bytes bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

Bytes draw(size_t count, uint64_t seed) {
  Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(Philox{seed, 0}(i / 16)[i / 4 % 4] >> (8 * (i % 4)));
  return bytes;
}

Key key_of(uint64_t seed) {
  Key key;
  const Bytes bytes = draw(32, seed);
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

/// ChaCha20 as RFC 8439 §2.3 writes it, block by block.
Bytes plain_stream(const Key& key, uint32_t counter, size_t length) {
  Bytes out;
  for (; out.size() < length; ++counter) {
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];
    std::memcpy(start + 4, key.data(), 32);
    start[12] = counter;
    std::memcpy(x, start, sizeof x);
    const auto quarter = [&](int a, int b, int c, int d) {
      const auto turn = [](uint32_t v, int n) { return v << n | v >> (32 - n); };
      x[a] += x[b], x[d] = turn(x[d] ^ x[a], 16), x[c] += x[d], x[b] = turn(x[b] ^ x[c], 12);
      x[a] += x[b], x[d] = turn(x[d] ^ x[a], 8), x[c] += x[d], x[b] = turn(x[b] ^ x[c], 7);
    };
    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < 4; ++i) quarter(i, 4 + i, 8 + i, 12 + i);
      for (int i = 0; i < 4; ++i) quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (int i = 0; i < 16; ++i)
      for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<uint8_t>((x[i] + start[i]) >> shift));
  }
  out.resize(length);
  return out;
}

/// Σ over words of `width` bytes, in plain loops.
Bytes plain_masks(Bytes words, size_t width, const std::vector<Mask>& masks) {
  for (const Mask& mask : masks) {
    const Bytes stream = plain_stream(mask.key, 0, words.size());
    for (size_t at = 0; at < words.size(); at += width) {
      uint64_t word = 0, added = 0;
      std::memcpy(&word, &words[at], width), std::memcpy(&added, &stream[at], width);
      word += mask.negative ? 0 - added : added;
      std::memcpy(&words[at], &word, width);
    }
  }
  return words;
}

template <class Work>
void each_isa(const Work& work) {
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) work(masking_kernels(static_cast<Isa>(level)));
}
}  // namespace

CASE("the blocks of RFC 8439, appendix A.1, by every instruction set") {
  Key last_one{}, second_ff{};
  last_one[31] = 1, second_ff[1] = 0xff;
  const struct {
    Key key;
    uint32_t counter;
    const char* block;
  } vectors[] = {
      {{},
       0,
       "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
      {{},
       1,
       "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"},
      {last_one, 1,
       "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"},
      {second_ff, 2,
       "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"},
  };
  for (const auto& [key, counter, block] : vectors) {
    const Bytes expected = bytes_of(block);
    CHECK(plain_stream(key, counter, 64) == expected);
    CHECK(plain_stream(key, counter + 1, 64) != expected);  // canary
    each_isa([&, &key = key, counter = counter](const MaskingKernels& kernels) {
      uint32_t words[8];
      std::memcpy(words, key.data(), 32);
      Bytes got(static_cast<size_t>(64 * kernels.group), 0);
      kernels.add_stream32(words, counter, false, 1, got.data());
      got.resize(64);
      CHECK(got == expected);
    });
  }
}

CASE("every instruction set adds and subtracts the stream of the plain loops, whatever the group, word and counter") {
  const Key key = key_of(3);
  uint32_t words[8];
  std::memcpy(words, key.data(), 32);
  each_isa([&](const MaskingKernels& kernels) {
    for (uint32_t counter : {0u, 5u, 0xfffffff0u})
      for (size_t width : {2, 4})
        for (bool negative : {false, true}) {
          const size_t length = static_cast<size_t>(3 * 64 * kernels.group);
          Bytes got = draw(length + 1, 4), expected(got.begin() + 1, got.end());  // odd address
          const Bytes stream = plain_stream(key, counter, length);
          for (size_t at = 0; at < length; at += width) {
            uint32_t word = 0, added = 0;
            std::memcpy(&word, &expected[at], width), std::memcpy(&added, &stream[at], width);
            word += negative ? 0 - added : added;
            std::memcpy(&expected[at], &word, width);
          }
          (width == 2 ? kernels.add_stream16 : kernels.add_stream32)(words, counter, negative, 3, got.data() + 1);
          CHECK(std::equal(expected.begin(), expected.end(), got.begin() + 1));
        }
  });
}

CASE("masks of any number and sign add up over vectors of any length, by any number of threads") {
  ThreadPool pool(3);
  for (int width : {2, 4})
    for (size_t count : {0, 1, 3, 16, 33, 1024, 9001}) {
      const std::vector<Mask> masks = {{key_of(1), false}, {key_of(2), true}, {key_of(3), false}};
      const Bytes before = draw(count * static_cast<size_t>(width), 9), expected = plain_masks(before, static_cast<size_t>(width), masks);
      Bytes alone = before, together = before;
      add_masks(alone, width, masks);
      add_masks(together, width, masks, &pool);
      CHECK(alone == expected && together == expected);
      add_masks(alone, width, std::vector<Mask>{{key_of(3), true}, {key_of(1), true}, {key_of(2), false}});
      CHECK(alone == before);
      if (count < 16) continue;
      add_masks(alone, width, std::vector<Mask>{{key_of(1), false}});
      CHECK(alone != before);  // canary
    }
  Bytes odd(6);
  CHECK_THROWS(add_masks(odd, 4, {}), E_SHAPE);
  CHECK_THROWS(add_masks(odd, 3, {}), E_ARGUMENT);
}

CASE("words are added without a carry from one into the next") {
  Bytes sums = {0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff}, wide = sums;
  const Bytes one = {1, 0, 2, 0, 1, 0, 0, 0};
  add_words(sums, one, 2), add_words(wide, one, 4);
  CHECK((sums == Bytes{0, 0, 3, 0, 0, 0, 0xff, 0xff}));
  CHECK((wide == Bytes{0, 0, 4, 0, 0, 0, 0, 0}));
  CHECK_THROWS(add_words(sums, std::span(one).first(4), 2), E_SHAPE);
  CHECK_THROWS(add_words(sums, one, 8), E_ARGUMENT);
}

CASE("quantisation is its formula, by every instruction set") {
  constexpr size_t count = 200;
  const Draws draws{77, uint64_t{24} << 32 | 5};
  for (const Grid grid : {Grid{0.5, 16}, Grid{1, 8}, Grid{3e-3, 1}, Grid{7, 24}}) {
    std::vector<float> x(count);
    for (size_t i = 0; i < count; ++i) x[i] = static_cast<float>((static_cast<double>(draw(count, 1)[i]) / 100 - 1.2) * grid.clip);
    x[7] = std::numeric_limits<float>::infinity(), x[8] = -x[7], x[9] = static_cast<float>(grid.clip);
    std::vector<uint32_t> expected;
    for (size_t i = 0; i < count; ++i) {
      const double u = (Philox{draws.seed, draws.stream}(i / 4)[i % 4] >> 8) * 0x1p-24;
      const double clipped = std::min(std::max(static_cast<double>(x[i]), -grid.clip), grid.clip);
      expected.push_back(static_cast<uint32_t>(std::min(std::floor((clipped + grid.clip) * grid.top() / (2 * grid.clip) + u), grid.top())));
    }
    each_isa([&](const MaskingKernels& kernels) {
      std::vector<uint32_t> q(count);
      kernels.quantize(x.data(), count, grid, draws, 0, q.data());
      CHECK(q == expected);
      kernels.quantize(x.data(), count, grid, {draws.seed + 1, draws.stream}, 0, q.data());
      CHECK(q != expected);  // canary
      kernels.quantize(x.data() + 128, count - 128, grid, draws, 128, q.data());
      CHECK(std::equal(expected.begin() + 128, expected.end(), q.begin()));
    });
    if (grid.bits > 16) continue;
    Bytes words(count * 4);
    quantize_weighted(x, grid, 13, draws, 4, words);
    std::vector<double> mean(count);
    dequantize_mean<double>(words, 4, grid, 13, mean);
    size_t wrong = 0;
    for (size_t i = 0; i < count; ++i) {
      uint32_t word;
      std::memcpy(&word, &words[4 * i], 4);
      wrong += word != 13 * expected[i];
      const double clipped = std::min(std::max(static_cast<double>(x[i]), -grid.clip), grid.clip);
      // A step of the grid, and what the formula rounds.
      wrong += !(std::fabs(mean[i] - clipped) <= 2 * grid.clip / grid.top() * (1 + 1e-9));
    }
    CHECK(wrong == 0);
  }
}

CASE("long vectors are quantised tile by tile, by any number of threads") {
  ThreadPool pool(3);
  std::vector<float> x(10001);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  const Grid grid{0.75, 8};
  Bytes alone(2 * x.size()), together(alone);
  quantize_weighted(x, grid, 3, {5, 1}, 2, alone);
  quantize_weighted(x, grid, 3, {5, 1}, 2, together, &pool);
  CHECK(alone == together);
  std::vector<uint32_t> q(x.size());
  masking_kernels(Isa::scalar).quantize(x.data(), static_cast<int64_t>(x.size()), grid, {5, 1}, 0, q.data());
  size_t wrong = 0;
  for (size_t i = 0; i < x.size(); ++i) wrong += (alone[2 * i] | alone[2 * i + 1] << 8) != static_cast<int>(3 * q[i]);
  CHECK(wrong == 0);
  std::vector<float> mean(x.size());
  std::vector<double> exact(x.size());
  dequantize_mean<float>(alone, 2, grid, 3, mean, &pool);
  dequantize_mean<double>(alone, 2, grid, 3, exact);
  for (size_t i = 0; i < x.size(); ++i) wrong += mean[i] != static_cast<float>(exact[i]);
  CHECK(wrong == 0);
}

CASE("what cannot be quantised is refused") {
  std::vector<float> x = {0.5f, std::nanf("")};
  Bytes words(8);
  CHECK_THROWS(quantize_weighted(x, {1, 8}, 1, {0, 0}, 4, words), E_NONFINITE);
  x[1] = 1;
  CHECK_THROWS(quantize_weighted(x, {0, 8}, 1, {0, 0}, 4, words), E_ARGUMENT);
  CHECK_THROWS(quantize_weighted(x, {std::nan(""), 8}, 1, {0, 0}, 4, words), E_ARGUMENT);
  CHECK_THROWS(quantize_weighted(x, {1, 25}, 1, {0, 0}, 4, words), E_ARGUMENT);
  CHECK_THROWS(quantize_weighted(x, {1, 8}, 0, {0, 0}, 4, words), E_ARGUMENT);
  CHECK_THROWS(quantize_weighted(x, {1, 8}, 258, {0, 0}, 2, std::span(words).first(4)), E_ARGUMENT);
  quantize_weighted(x, {1, 8}, 257, {0, 0}, 2, std::span(words).first(4));  // 257 · 255 = 65535
  CHECK(words[2] == 0xff && words[3] == 0xff);
  CHECK_THROWS(quantize_weighted(x, {1, 8}, 1, {0, 0}, 4, std::span(words).first(4)), E_SHAPE);
  std::vector<double> mean(2);
  CHECK_THROWS(dequantize_mean<double>(words, 4, {1, 8}, 0, mean), E_ARGUMENT);
  CHECK_THROWS(dequantize_mean<double>(words, 2, {1, 8}, 1, mean), E_SHAPE);
}

CASE("GF(2⁸) is a field: products beside long division, inverses by sharing") {
  size_t wrong = 0;
  for (int a = 0; a < 256; ++a)
    for (int b = 0; b < 256; ++b) {
      int product = 0;
      for (int bit = 0; bit < 8; ++bit) product ^= (b >> bit & 1) * (a << bit);
      for (int bit = 14; bit >= 8; --bit)
        if (product >> bit & 1) product ^= 0x11B << (bit - 8);
      wrong += gf256_product(static_cast<uint8_t>(a), static_cast<uint8_t>(b)) != product;
    }
  CHECK(wrong == 0);
  CHECK(gf256_product(0x57, 0x83) == 0xC1 && gf256_product(0x53, 0xCA) == 1);
}

CASE("any t shares give the secret, t − 1 fit every secret, and one share gives every byte") {
  const Bytes secret = draw(32, 21), coefficients = draw(64, 22);  // t = 3
  std::vector<Bytes> shares{{}};
  for (int x = 1; x <= 255; ++x) shares.push_back(shamir_share(secret, coefficients, x));
  const auto join = [&](std::vector<int> places, int x = 0) {
    Bytes at, together;
    for (int place : places)
      at.push_back(static_cast<uint8_t>(place)), together.insert(together.end(), shares[place].begin(), shares[place].end());
    return shamir_join(at, together, x);
  };
  CHECK(join({1, 2, 3}) == secret && join({255, 7, 90}) == secret && join({9, 8, 7, 6, 5}) == secret);
  CHECK(join({1, 2}) != secret);  // canary
  CHECK(join({4, 200, 31}, 77) == shares[77] && join({4, 200, 31}, 4) == shares[4]);
  CHECK(shamir_share(secret, {}, 9) == secret);  // t = 1 shares nothing
  // Shares 1 and 2 beside any other secret lie on a polynomial of degree 2: its share 3 makes the three give that secret.
  for (uint8_t guess : {0, 1, 254}) {
    shares[0] = Bytes(32, guess);
    // Place 0 is the secret's, so the polynomial through it is found by moving every place by 128.
    const uint8_t moved[] = {128, 129, 130};
    Bytes points = shares[0];
    points.insert(points.end(), shares[1].begin(), shares[1].end()), points.insert(points.end(), shares[2].begin(), shares[2].end());
    const Bytes third = shamir_join(moved, points, 131);
    Bytes given = shares[1];
    given.insert(given.end(), shares[2].begin(), shares[2].end()), given.insert(given.end(), third.begin(), third.end());
    const uint8_t places[] = {1, 2, 3};
    CHECK(shamir_join(places, given) == shares[0]);
  }
  // A share of one byte under all 256 coefficients is every byte once.
  std::array<int, 256> seen{};
  for (int c = 0; c < 256; ++c) {
    const uint8_t one = 0x5a, coefficient = static_cast<uint8_t>(c);
    ++seen[shamir_share({&one, 1}, {&coefficient, 1}, 7)[0]];
  }
  CHECK(std::count(seen.begin(), seen.end(), 1) == 256);
}

CASE("impossible shares are refused") {
  const Bytes secret = draw(32, 1);
  CHECK_THROWS(shamir_share(secret, {}, 0), E_ARGUMENT);
  CHECK_THROWS(shamir_share(secret, {}, 256), E_ARGUMENT);
  CHECK_THROWS(shamir_share(secret, std::span(secret).first(31), 1), E_SHAPE);
  CHECK_THROWS(shamir_share({}, {}, 1), E_SHAPE);
  const uint8_t twice[] = {4, 4}, zero[] = {0, 1}, fine[] = {1, 2};
  CHECK_THROWS(shamir_join(twice, secret), E_ARGUMENT);
  CHECK_THROWS(shamir_join(zero, secret), E_ARGUMENT);
  CHECK_THROWS(shamir_join(fine, std::span(secret).first(31)), E_SHAPE);
  CHECK_THROWS(shamir_join({}, secret), E_ARGUMENT);
  CHECK_THROWS(shamir_join(fine, {}), E_SHAPE);
  CHECK_THROWS(shamir_join(fine, secret, -1), E_ARGUMENT);
}

TEST_MAIN()
