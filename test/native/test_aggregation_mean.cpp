// The weighted mean: exact sums, so that order, grouping, threads and instruction sets change no bit.
#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <random>

#include "aggregation/aggregator.h"
#include "compression/checksum.h"
#include "compression/codec.h"
#include "draws.h"
#include "harness.h"

using namespace fedlora;

namespace {
struct Client {
  std::vector<uint8_t> bytes;
  double weight;
};

/// spread: exponents vary by so many powers of two on either side.
std::vector<float> draw(size_t count, uint64_t seed, int spread) {
  std::mt19937_64 random(seed);
  std::vector<float> values(count);
  for (float& v : values) {
    const int shift = spread ? static_cast<int>(random() % static_cast<uint64_t>(2 * spread + 1)) - spread : 0;
    v = std::ldexp(static_cast<float>(draws::normal(random)), shift - 10);
    if (random() % 17 == 0) v = 0;
  }
  return values;
}

std::vector<Client> cohort(size_t length, int clients, int spread, bool whole_weights, uint64_t seed) {
  constexpr Codec codecs[] = {Codec::f32, Codec::topk, Codec::int8, Codec::bf16, Codec::int4};
  std::mt19937_64 random(seed);
  std::vector<Client> all(static_cast<size_t>(clients));
  for (int c = 0; c < clients; ++c) {
    Client& client = all[static_cast<size_t>(c)];
    encode_update(draw(length, seed * 1000 + static_cast<uint64_t>(c), spread), {}, {codecs[c % 5], 0.05, 4, static_cast<uint64_t>(c)},
                  client.bytes);
    const double fraction = 1 + 1e-9 * static_cast<double>(random() % 1000000000);
    client.weight = whole_weights ? std::floor(fraction * 1e6) - 999999 : std::ldexp(fraction, static_cast<int>(random() % 21) - 10);
  }
  return all;
}

std::vector<float> mean_of(const Aggregator& aggregator) {
  std::vector<float> out(static_cast<size_t>(aggregator.length()));
  aggregator.mean(out);
  return out;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0);
}

std::vector<float> mean_in_order(const std::vector<Client>& clients, const std::vector<size_t>& order, size_t length) {
  Aggregator aggregator(static_cast<int64_t>(length));
  for (size_t c : order) aggregator.add(clients[c].bytes, clients[c].weight);
  return mean_of(aggregator);
}

/// Largest distance from the truth in ulps of the truth's float. Products and their sums are computed in a fixed point of 2^-100
/// held in 128 bits, which is exact for the data of the caller.
double worst_ulps(const std::vector<Client>& clients, const std::vector<float>& mean) {
  std::vector<__int128> sums(mean.size());
  __int128 total = 0;
  std::vector<float> values(mean.size());
  for (const Client& client : clients) {
    decode_update(client.bytes, values);
    const double weight = grid_weight(client.weight);
    total += static_cast<__int128>(std::ldexp(weight, 20));
    for (size_t i = 0; i < values.size(); ++i) sums[i] += static_cast<__int128>(std::ldexp(static_cast<double>(values[i]) * weight, 70));
  }
  double worst = 0;
  for (size_t i = 0; i < mean.size(); ++i) {
    const long double truth = static_cast<long double>(sums[i]) / static_cast<long double>(total) * 0x1p-50L;
    const float nearest = std::fabs(static_cast<float>(truth));
    const double ulp = static_cast<double>(std::nextafter(nearest, std::numeric_limits<float>::infinity())) - nearest;
    const double distance = std::fabs(static_cast<double>((static_cast<long double>(mean[i]) - truth) / ulp));
    if (!(distance <= worst)) worst = distance;
  }
  return worst;
}
}  // namespace

CASE("the order of arrival changes no bit, from narrow data to data that spans the whole float range") {
  for (size_t length : {1, 63, 2048, 5001})
    for (int spread : {0, 4, 20, 110})
      for (bool whole : {true, false}) {
        const std::vector<Client> clients = cohort(length, 13, spread, whole, length + static_cast<size_t>(spread));
        std::vector<size_t> order(clients.size());
        std::iota(order.begin(), order.end(), 0);
        const std::vector<float> first = mean_in_order(clients, order, length);
        std::mt19937_64 random(7);
        for (int i = 0; i < 6; ++i) {
          draws::shuffle(order, random);
          CHECK(same(first, mean_in_order(clients, order, length)));
        }
      }
}

CASE("grouping, merging, threads and instruction sets change no bit") {
  for (int spread : {0, 20, 110}) {
    constexpr size_t length = 70001;
    const std::vector<Client> clients = cohort(length, 11, spread, spread != 20, 77);
    std::vector<size_t> order(clients.size());
    std::iota(order.begin(), order.end(), 0);
    const std::vector<float> expected = mean_in_order(clients, order, length);
    std::vector<WeightedMessage> messages;
    double total = 0;
    for (const Client& client : clients) messages.push_back({client.bytes, client.weight}), total += grid_weight(client.weight);
    for (int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      Aggregator batch(length);
      batch.add(std::span(messages).first(4), &pool);
      batch.add(std::span(messages).subspan(4), &pool);
      std::vector<float> out(length);
      batch.mean(out, &pool);
      CHECK(same(expected, out));
      CHECK(batch.count() == 11);
      CHECK_LE(std::fabs(batch.total_weight() / total - 1), 1e-15);
    }
    for (size_t cut : {0, 1, 6, 11}) {  // a tree of partial aggregators
      Aggregator left(length), right(length), top(length);
      left.add(std::span(messages).first(cut));
      right.add(std::span(messages).subspan(cut));
      top.merge(right);
      top.merge(left);
      CHECK(same(expected, mean_of(top)) && top.count() == 11);
      left.merge(right);
      CHECK(same(expected, mean_of(left)));
    }
    for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) {
      Aggregator forced(length, codec_kernels(static_cast<Isa>(level)), sum_kernels(static_cast<Isa>(level)));
#if defined(__x86_64__)
      CHECK(sum_kernels(static_cast<Isa>(level)).isa == static_cast<Isa>(level));
#else  // the floor has the vectors, and its table serves every level
      CHECK(sum_kernels(static_cast<Isa>(level)).isa == Isa::scalar);
#endif
      forced.add(messages);
      CHECK(same(expected, mean_of(forced)));
    }
  }
}

CASE("a vector adds the bits of its f32 message, alone, among messages, on every instruction set, and leaves nothing when refused") {
  for (size_t length : {1, 2047, 2048, 70001})
    for (int spread : {0, 20, 110}) {
      std::vector<std::vector<float>> vectors;
      std::vector<Client> clients;
      for (uint64_t c = 0; c < 5; ++c) {
        vectors.push_back(draw(length, 31 + c, spread));
        clients.push_back({{}, 1.0 + 3.5 * static_cast<double>(c)});
        encode_update(vectors[c], {}, {}, clients[c].bytes);
      }
      const std::vector<float> expected = mean_in_order(clients, {0, 1, 2, 3, 4}, length);
      for (int level = 0; level <= static_cast<int>(detect_isa()); ++level)
        for (int threads : {1, 3}) {
          ThreadPool pool(threads);
          Aggregator mixed(static_cast<int64_t>(length), codec_kernels(static_cast<Isa>(level)), sum_kernels(static_cast<Isa>(level)));
          mixed.add_vector(vectors[3], clients[3].weight, &pool);
          std::vector<WeightedMessage> rest;
          for (size_t c : {0, 2}) rest.push_back({{}, clients[c].weight, vectors[c]});
          for (size_t c : {1, 4}) rest.push_back({clients[c].bytes, clients[c].weight});
          mixed.add(rest, &pool);
          CHECK(same(expected, mean_of(mixed)) && mixed.count() == 5);
          for (float wrong : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
            std::vector<float> bad = vectors[0];
            bad[length / 2] = wrong;
            CHECK_THROWS(mixed.add_vector(bad, 1), E_NONFINITE);
            const WeightedMessage pair[] = {{{}, 2, vectors[1]}, {{}, 1, bad}};
            CHECK_THROWS(mixed.add(pair, &pool), E_NONFINITE);
          }
          CHECK_THROWS(mixed.add_vector(std::span(vectors[0]).first(length - 1), 1), E_SHAPE);
          CHECK_THROWS(mixed.add_vector(vectors[0], 0), E_ARGUMENT);
          CHECK(same(expected, mean_of(mixed)) && mixed.count() == 5);
          mixed.add_vector(vectors[0], 1);
          CHECK(!same(expected, mean_of(mixed)) || length == 1);  // canary: one more is seen
        }
    }
}

// Messages of one codec are added several at a time by kernels of their own, which first add and then ask whether the values fit.
CASE("several messages of one codec at once give the bits of one after the other, and a damaged one leaves nothing") {
  constexpr size_t length = 2 * 32768 + 4465;  // whole runs of tiles and a part
  constexpr size_t most = 19;
  for (int spread : {0, 12, 30, 110}) {
    std::vector<std::vector<float>> drawn;
    for (size_t c = 0; c < most; ++c) {
      std::vector<float>& values = drawn.emplace_back(draw(length, c + 1, c % 5 == 4 ? spread + 3 : spread));
      if (c % 3 == 1) std::fill_n(values.begin() + 4096, 2048, 0.0f);
      if (c % 7 == 6) values[40000] = 3e30f;  // a tile that leaves the form of the others
      if (c % 4 == 0)                         // a block whose step is so much smaller that the others are many of it
        for (size_t i = 8192; i < 8192 + 128; ++i) values[i] *= 0x1p-24f;
    }
    for (Codec codec : {Codec::f32, Codec::bf16, Codec::int8, Codec::int4})
      for (bool whole : {true, false}) {
        std::vector<Client> clients(most);
        std::mt19937_64 random(static_cast<uint64_t>(spread) + 1);
        for (size_t c = 0; c < most; ++c) {
          encode_update(drawn[c], {}, {codec, 1, 2, c}, clients[c].bytes);
          clients[c].weight = whole ? static_cast<double>(1 + random() % 3000) : 1e-3 * static_cast<double>(random() % 1000000 + 1);
        }
        std::vector<WeightedMessage> messages;
        for (const Client& client : clients) messages.push_back({client.bytes, client.weight});
        Aggregator plain(length, codec_kernels(Isa::scalar), sum_kernels(Isa::scalar));
        for (size_t count : {1, 2, 3, 6, 7, 8, 9, 19}) {  // with their halves every number that a kernel takes
          const std::span<const WeightedMessage> some = std::span(messages).first(count);
          Aggregator together(length), threaded(length);
          while (plain.count() < static_cast<int64_t>(count)) {
            const WeightedMessage& next = messages[static_cast<size_t>(plain.count())];
            plain.add(next.bytes, next.weight);
          }
          const std::vector<float> expected = mean_of(plain);
          together.add(some);
          CHECK(same(expected, mean_of(together)));
          ThreadPool pool(3);
          threaded.add(some.first(count / 2), &pool);
          threaded.add(some.subspan(count / 2), &pool);
          CHECK(same(expected, mean_of(threaded)));
          if (count != 9 && count != 2) continue;
          for (size_t at : {size_t{41}, size_t{1000}, clients[count - 1].bytes.size() / 2, clients[count - 1].bytes.size() - 1}) {
            std::vector<uint8_t> damaged = clients[count - 1].bytes;
            damaged[at] ^= 0x50;
            std::vector<WeightedMessage> bad(some.begin(), some.end());
            bad.back().bytes = damaged;
            CHECK_THROWS(together.add(bad, &pool), E_CHECKSUM);
            std::swap(bad.front(), bad.back());
            CHECK_THROWS(together.add(bad), E_CHECKSUM);
          }
          CHECK(same(expected, mean_of(together)) && together.count() == static_cast<int64_t>(count));
          together.add(some.first(1));
          CHECK(!same(expected, mean_of(together)));  // canary: one message more is seen
        }
      }
  }
}

CASE("kernels of several messages say the smallest and the largest magnitude of all, and the checksums of each") {
  const SumKernels& kernels = sum_kernels();
  std::vector<std::vector<float>> drawn;
  for (size_t k = 0; k < static_cast<size_t>(most_together); ++k) drawn.push_back(draw(update_tile, k + 1, 12));
  for (const int mantissa_bits : {23, 7}) {
    const auto kernel = mantissa_bits == 23 ? kernels.add_checked_f32 : kernels.add_checked_bf16;
    for (int count = 1; kernel && count <= most_together; ++count)
      for (const uint32_t extreme : {0x00000001u, 0x007fffffu, 0x00800000u, 0x2f7fffffu, 0x2f7f0000u, 0x7effffffu, 0x7f7f0000u}) {
        const int shift = 23 - mantissa_bits;
        std::vector<std::vector<uint8_t>> bytes(static_cast<size_t>(count));
        std::vector<std::vector<uint32_t>> checksums(bytes.size());
        FloatTile tiles[most_together];
        MagnitudeBits want{~0u, 0};
        for (size_t k = 0; k < bytes.size(); ++k) {
          std::vector<float> values = drawn[k];
          values[(977 * k + extreme) % values.size()] = std::bit_cast<float>(extreme | (k % 2 ? 0x80000000u : 0));
          for (const float value : values) {
            const uint32_t bits = (std::bit_cast<uint32_t>(value) & 0x7fffffffu) >> shift;
            if (bits != 0) want.smallest = std::min(want.smallest, bits);
            want.largest = std::max(want.largest, bits);
            for (int byte = shift / 8; byte < 4; ++byte)
              bytes[k].push_back(static_cast<uint8_t>(std::bit_cast<uint32_t>(value) >> (8 * byte)));
          }
          checksums[k].resize(bytes[k].size() / checksum_segment_bytes);
          tiles[k] = {bytes[k].data(), bytes[k].data(), 0, checksums[k].data()};
        }
        std::vector<int64_t> low(2 * update_tile, 5);
        const MagnitudeBits got = kernel(low.data(), tiles, count);
        CHECK(got.smallest == want.smallest && got.largest == want.largest);
        for (size_t k = 0; k < bytes.size(); ++k) {
          std::vector<uint32_t> sums(checksums[k].size());
          segment_checksums(bytes[k], sums.data());
          CHECK(sums == checksums[k]);
        }
        CHECK(std::ranges::all_of(low, [](int64_t word) { return word == 5; }));  // factors of 0 add nothing
      }
  }
}

// The kernel for bf16 sums the products of several messages in double before they are integers: 53 bits, where the sum holds 62.
CASE("what several bf16 messages bring may need more bits than a double has, and none is lost") {
  constexpr size_t length = 32768;
  const float small = 0x1.02p-50f;  // beside 1: 58 bits
  std::vector<float> both(length, small);
  for (size_t i = 0; i < length; i += 2) both[i] = 1;
  std::vector<std::vector<uint8_t>> bytes(4);
  encode_update(both, {}, {Codec::bf16, 1, 2, 0}, bytes[0]);
  encode_update(std::vector<float>(length, 1), {}, {Codec::bf16, 1, 2, 0}, bytes[1]);
  encode_update(std::vector<float>(length, small), {}, {Codec::bf16, 1, 2, 0}, bytes[2]);
  encode_update(std::vector<float>(length, -1), {}, {Codec::bf16, 1, 2, 0}, bytes[3]);
  const WeightedMessage group[] = {{bytes[1], 1}, {bytes[2], 1}, {bytes[3], 1}};
  Aggregator aggregator(length);
  aggregator.add(bytes[0], 1);
  aggregator.add(group);
  const std::vector<float> mean = mean_of(aggregator);
  for (size_t i = 1; i < length; i += 2) CHECK(mean[i] == small / 2);
}

CASE("the mean is the exact quotient, rounded: within half an ulp and 2^-27") {
  for (int spread : {0, 6, 12})
    for (const size_t length : {4000, 70001}) {  // in one run of tiles and in three
      const std::vector<Client> clients = cohort(length, length == 4000 ? 40 : 5, spread, true, 5);
      Aggregator aggregator(static_cast<int64_t>(length));
      for (const Client& client : clients) aggregator.add(client.bytes, client.weight);
      CHECK_LE(worst_ulps(clients, mean_of(aggregator)), 0.5 + 0x1p-27);
    }
}

CASE("cancellation leaves nothing behind: huge and tiny parts vanish exactly") {
  constexpr size_t length = 3000;
  std::vector<float> huge(length), opposite(length), tiny(length);
  for (size_t i = 0; i < length; ++i) {
    huge[i] = std::ldexp(1.2345678f, 126 - static_cast<int>(i % 250));
    opposite[i] = -huge[i];
    tiny[i] = std::bit_cast<float>(static_cast<uint32_t>(i + 1));  // denormals
  }
  std::vector<uint8_t> a, b, c;
  encode_update(huge, {}, {Codec::f32, 1, 2, 0}, a);
  encode_update(opposite, {}, {Codec::f32, 1, 2, 0}, b);
  encode_update(tiny, {}, {Codec::f32, 1, 2, 0}, c);
  Aggregator aggregator(length);
  aggregator.add(a, 1000);
  aggregator.add(c, 2000);
  aggregator.add(b, 1000);
  aggregator.add(c, 0.5);
  const std::vector<float> mean = mean_of(aggregator);
  for (size_t i = 0; i < length; ++i) CHECK_LE(std::fabs(mean[i] - tiny[i] * 2000.5 / 4000.5), 0x1p-149 * 0.51);
}

CASE("one update comes back as it was; equal updates too, whatever the weights") {
  const std::vector<float> update = draw(5000, 1, 30);
  std::vector<uint8_t> bytes;
  encode_update(update, {}, {Codec::f32, 1, 2, 0}, bytes);
  Aggregator aggregator(5000);
  for (double weight : {3.0, 0.1, 12345.0, 1e6}) {
    aggregator.add(bytes, weight);
    const std::vector<float> mean = mean_of(aggregator);
    for (size_t i = 0; i < update.size(); ++i) CHECK(mean[i] == update[i]);
  }
  aggregator.reset();
  CHECK(aggregator.count() == 0 && aggregator.total_weight() == 0);
  aggregator.add(bytes, 7);
  CHECK(aggregator.total_weight() == 7 && mean_of(aggregator)[17] == update[17]);
}

CASE("weights: whole numbers exactly, others on the grid of 29 bits, bad ones refused") {
  for (double weight : {1.0, 1e6, 536870912.0, 0.5, 0x1p-20, 0x1p40}) CHECK(grid_weight(weight) == weight);
  CHECK_LE(std::fabs(grid_weight(0.1) / 0.1 - 1), 0x1p-29);
  CHECK(grid_weight(1 + 0x1p-28) == 1 + 0x1p-28 && grid_weight(1 + 0x1p-29) == 1 && grid_weight(1 + 0x1.8p-28) == 1 + 0x1p-27);
  CHECK(weight_lowest_bit(12) == 2 && weight_lowest_bit(0.75) == -2 && weight_lowest_bit(1) == 0);
  for (double weight : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e-7, 1e13})
    CHECK_THROWS(grid_weight(weight), E_ARGUMENT);
}

CASE("a refused update changes nothing") {
  constexpr size_t length = 4100;
  std::vector<uint8_t> good, damaged, other;
  encode_update(draw(length, 1, 3), {}, {Codec::int8, 1, 2, 0}, good);
  encode_update(draw(length + 1, 1, 3), {}, {Codec::int8, 1, 2, 0}, other);
  damaged = good;
  damaged[1000] ^= 16;
  Aggregator aggregator(length);
  std::vector<float> out(length);
  CHECK_THROWS(aggregator.mean(out), E_ARGUMENT);
  aggregator.add(good, 10);
  const std::vector<float> before = mean_of(aggregator);
  CHECK_THROWS(aggregator.add(damaged, 10), E_CHECKSUM);
  CHECK_THROWS(aggregator.add(other, 10), E_SHAPE);
  CHECK_THROWS(aggregator.add(std::span<const uint8_t>(good).first(30), 10), E_FORMAT);
  for (double weight : {0.0, -3.0, std::nan("")}) CHECK_THROWS(aggregator.add(good, weight), E_ARGUMENT);
  const WeightedMessage last_is_bad[] = {{good, 1}, {good, 2}, {damaged, 3}};
  CHECK_THROWS(aggregator.add(last_is_bad), E_CHECKSUM);
  CHECK_THROWS(aggregator.merge(Aggregator(length + 1)), E_SHAPE);
  CHECK_THROWS(aggregator.mean(std::span<float>(out).first(3)), E_SHAPE);
  CHECK(same(before, mean_of(aggregator)) && aggregator.count() == 1 && aggregator.total_weight() == 10);
  CHECK_THROWS(Aggregator(-1), E_ARGUMENT);
}

CASE("damage that shows only at the end of a long message is taken back exactly, in every form of the sums") {
  constexpr size_t length = 100000;
  for (int spread : {0, 20, 110})
    for (Codec codec : {Codec::f32, Codec::bf16})
      for (int threads : {1, 3}) {
        ThreadPool pool(threads);
        std::vector<uint8_t> first, second;
        encode_update(draw(length, 1, spread), {}, {codec, 1, 2, 0}, first);
        encode_update(draw(length, 2, spread), {}, {codec, 1, 2, 0}, second);
        Aggregator aggregator(length);
        aggregator.add(first, 17, &pool);
        const std::vector<float> before = mean_of(aggregator);
        const size_t width = codec == Codec::f32 ? 4 : 2;
        for (size_t element : {0, 5, 50000, 99999}) {
          std::vector<uint8_t> flipped = second, poisoned = second;
          flipped[40 + element * width] ^= 1;
          const uint16_t infinite = 0x7f80;
          std::memcpy(poisoned.data() + 40 + element * width + width - 2, &infinite, 2);
          const WeightedMessage with_flipped[] = {{second, 3}, {flipped, 5}, {second, 1}}, with_poisoned[] = {{second, 3}, {poisoned, 5}};
          CHECK_THROWS(aggregator.add(with_flipped, &pool), E_CHECKSUM);
          CHECK_THROWS(aggregator.add(with_poisoned, &pool), E_CHECKSUM);
          const uint32_t body = body_checksum(std::span<const uint8_t>(poisoned).subspan(40));
          std::memcpy(poisoned.data() + 32, &body, 4);
          const uint32_t header = crc32c(std::span<const uint8_t>(poisoned).first(36));
          std::memcpy(poisoned.data() + 36, &header, 4);
          const WeightedMessage with_infinity[] = {{second, 3}, {poisoned, 5}};
          CHECK_THROWS(aggregator.add(with_infinity, &pool), E_NONFINITE);
          CHECK(same(before, mean_of(aggregator)) && aggregator.count() == 1 && aggregator.total_weight() == 17);
        }
      }
}

CASE("no elements, and zeros") {
  std::vector<uint8_t> empty, zeros;
  encode_update({}, {}, {Codec::topk, 0.5, 2, 0}, empty);
  Aggregator none(0);
  none.add(empty, 1);
  CHECK(mean_of(none).empty());
  encode_update(std::vector<float>(3000, -0.0f), {}, {Codec::f32, 1, 2, 0}, zeros);
  Aggregator aggregator(3000);
  aggregator.add(zeros, 1);
  for (float m : mean_of(aggregator)) CHECK(std::bit_cast<uint32_t>(m) == 0);
}

CASE("the wide form: rounding and signs against 128-bit integers") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    WideSum sum;
    __int128 expected = 0;
    for (int j = 0; j < 5; ++j) {
      const __int128 term = static_cast<__int128>(static_cast<int64_t>(random())) << (random() % 50);
      expected += term;
      if (random() % 2)
        sum.add(term, -70);
      else {
        WideSum other;
        other.add(term, -70);
        sum.add(other);
      }
    }
    CHECK(sum.value() == std::ldexp(static_cast<double>(expected), -70));
  }
}

CASE("the wide form: one bit at any place, and a tie that what lies far below decides") {
  for (int exponent = wide_unit; exponent < 240; ++exponent)
    for (const int sign : {1, -1}) {
      WideSum sum;
      sum.add(static_cast<__int128>(sign), exponent);
      CHECK(sum.value() == std::ldexp(sign, exponent));
    }
  for (const int exponent : {0, 90})
    for (const int far : {wide_unit, -100, -64, -60}) {
      WideSum tie, above, below;  // to even: down, up, down
      const double one = std::ldexp(1.0, exponent), half_ulp = std::ldexp(1.0, exponent - 53);
      for (WideSum* sum : {&tie, &above, &below}) sum->add(one), sum->add(half_ulp);
      above.add(std::ldexp(1.0, far));
      below.add(-std::ldexp(1.0, far));
      CHECK(tie.value() == one && above.value() == one + 2 * half_ulp && below.value() == one);
    }
}

CASE("canary: a float accumulator depends on the order and misses the bound") {
  const std::vector<Client> clients = cohort(4000, 40, 6, true, 5);
  const auto careless = [&](bool backwards) {
    std::vector<float> sum(4000), values(4000);
    double total = 0;
    for (size_t j = 0; j < clients.size(); ++j) {
      const Client& client = clients[backwards ? clients.size() - 1 - j : j];
      decode_update(client.bytes, values);
      total += client.weight;
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i] * static_cast<float>(client.weight);
    }
    for (float& s : sum) s = static_cast<float>(s / total);
    return sum;
  };
  CHECK(!same(careless(false), careless(true)));
  CHECK(!(worst_ulps(clients, careless(false)) <= 0.5 + 0x1p-27));
}

TEST_MAIN()
