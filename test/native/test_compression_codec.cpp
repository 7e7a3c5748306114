// The law of the codecs: what is sent plus what is kept is what there was. Every codec, many lengths and distributions.
#include <algorithm>
#include <bit>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "compression/checksum.h"
#include "compression/codec.h"
#include "compression/magnitude_levels.h"
#include "compression/update_reader.h"
#include "draws.h"
#include "harness.h"

using namespace fedlora;

namespace {
const char* const distributions[] = {"normal", "heavy-tailed", "zero", "constant", "tiny", "huge", "denormal", "sparse", "mixed"};

std::vector<float> draw(const std::string& kind, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto normal = [&] { return static_cast<float>(draws::normal(random)); };
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float z = normal();
    const uint64_t word = random();
    float& v = values[i];
    if (kind == "normal") v = 1e-3f * z;
    if (kind == "heavy-tailed") v = 1e-4f * z / (std::fabs(normal()) + 1e-4f);
    if (kind == "zero") v = word & 1 ? 0.0f : -0.0f;
    if (kind == "constant") v = -0.0123f;
    if (kind == "tiny") v = 1e-30f * z;
    if (kind == "huge") v = std::copysign(3.4e38f * (static_cast<float>(word % 1000) / 999.0f), z);
    if (kind == "denormal") v = std::bit_cast<float>(static_cast<uint32_t>(word & 0x807fffffu));
    if (kind == "sparse") v = word % 50 == 0 ? z : 0.0f;
    if (kind == "mixed") v = std::ldexp(z, static_cast<int>(word % 200) - 120);
  }
  return values;
}

std::vector<CodecOptions> every_codec() {
  std::vector<CodecOptions> all;
  for (Codec codec : {Codec::f32, Codec::bf16, Codec::int8, Codec::int4}) all.push_back({codec, 1.0, 2, 42});
  for (int bits : {2, 4, 8})
    for (double density : {1.0 / 64, 0.1, 1.0}) all.push_back({Codec::topk, density, bits, 42});
  for (int bits : {2, 4, 8}) all.push_back({Codec::topk, 1.0 / 64, bits, 42, 1});  // what an older receiver reads
  all.push_back({Codec::sign, 1.0, 2, 42});
  for (int bits : {4, 8, 16, 32})
    for (Codec codec : {Codec::randk, Codec::blocks}) {
      CodecOptions options{codec, bits == 4 ? 1.0 : 0.1, bits, 42};
      options.choice_seed = 7, options.run_log2 = 5;
      all.push_back(options);
    }
  return all;
}

double ulp(float x) {
  const float magnitude = std::fabs(x);
  return static_cast<double>(std::nextafter(magnitude, std::numeric_limits<float>::infinity())) - magnitude;
}

/// Counts the elements where the law of codec.h is broken.
int64_t broken(std::span<const float> update, std::span<const float> before, std::span<const float> sent, std::span<const float> after,
               const std::vector<bool>& was_sent) {
  int64_t count = 0;
  for (size_t i = 0; i < update.size(); ++i) {
    const float t = before.empty() ? update[i] : update[i] + before[i];
    if (!was_sent[i]) {
      count += !(sent[i] == 0 && std::bit_cast<uint32_t>(after[i]) == std::bit_cast<uint32_t>(t));
      continue;
    }
    const double error = std::fabs(static_cast<double>(sent[i]) + after[i] - t);
    const double allowed = ulp(std::max({std::fabs(sent[i]), std::fabs(after[i]), std::fabs(t)}));
    count += !(error <= allowed && after[i] == t - sent[i]);
  }
  return count;
}

std::vector<bool> sent_elements(std::span<const uint8_t> bytes) {
  const UpdateReader reader(bytes);
  std::vector<bool> sent(static_cast<size_t>(reader.count()), !reader.sparse());
  for (int64_t e = 0; reader.sparse() && e < reader.header().sent; ++e) sent[reader.positions()[e]] = true;
  return sent;
}

std::vector<float> decoded(std::span<const uint8_t> bytes) {
  std::vector<float> out(static_cast<size_t>(read_header(bytes).count), -7.0f);
  decode_update(bytes, out);
  return out;
}
}  // namespace

CASE("sent + residual = update + previous residual, for every codec, length and distribution, over three rounds") {
  for (size_t length : {0, 1, 63, 64, 65, 127, 128, 129, 1000, 2048, 2049, 100003})
    for (const char* kind : distributions)
      for (const CodecOptions& options : every_codec()) {
        if (length > 50000 && options.codec == Codec::topk && options.density == 1.0) continue;
        std::vector<float> residual(length, 0.0f);
        for (uint64_t round = 0; round < 3; ++round) {
          std::vector<float> update = draw(kind, length, 100 * round + length);
          if (std::string(kind) == "huge" && round > 0)  // so that the sums stay finite
            for (float& v : update) v *= 1e-6f;
          const std::vector<float> before = residual;
          std::vector<uint8_t> bytes;
          encode_update(update, residual, options, bytes);
          const std::vector<float> sent = decoded(bytes);
          const int64_t bad = broken(update, before, sent, residual, sent_elements(bytes));
          if (bad != 0)
            harness::report(__FILE__, __LINE__,
                            format_text("%s bits %d density %g, %zu %s, round %d: %lld elements break the law", codec_name(options.codec),
                                        options.bits, options.density, length, kind, static_cast<int>(round), static_cast<long long>(bad)));
          if (options.codec == Codec::f32)
            for (float r : residual) CHECK(r == 0);
        }
      }
}

CASE("without a residual the bytes are those of a zero residual") {
  for (const CodecOptions& options : every_codec()) {
    const std::vector<float> update = draw("normal", 3001, 9);
    std::vector<float> residual(update.size());
    std::vector<uint8_t> with, without;
    encode_update(update, residual, options, with);
    encode_update(update, {}, options, without);
    CHECK(with == without);
  }
}

CASE("every instruction set writes the same bytes and residuals") {
  for (const CodecOptions& options : every_codec())
    for (const char* kind : distributions) {
      const std::vector<float> update = draw(kind, 10007, 3);
      std::vector<float> first_residual(update.size()), second_residual(update.size());
      std::vector<uint8_t> first, second;
      encode_update(update, first_residual, options, first, codec_kernels(Isa::scalar));
      for (int level = 1; level <= static_cast<int>(detect_isa()); ++level) {
        const CodecKernels& kernels = codec_kernels(static_cast<Isa>(level));
#if defined(__x86_64__)
        CHECK(kernels.isa == static_cast<Isa>(level));
#else  // the floor has the vectors, and its table serves every level
        CHECK(kernels.isa == Isa::scalar);
#endif
        std::fill(second_residual.begin(), second_residual.end(), 0.0f);
        encode_update(update, second_residual, options, second, kernels);
        CHECK(first == second);
        CHECK(std::memcmp(first_residual.data(), second_residual.data(), update.size() * 4) == 0);
        std::vector<float> tile(update_tile), other(update_tile);
        const UpdateReader scalar(first, nullptr, codec_kernels(Isa::scalar)), vector(first, nullptr, kernels);
        for (int64_t at = 0; at < scalar.count(); at += update_tile) {
          const int64_t count = std::min(update_tile, scalar.count() - at);
          scalar.decode(at, count, tile.data()), vector.decode(at, count, other.data());
          CHECK(std::memcmp(tile.data(), other.data(), static_cast<size_t>(count) * 4) == 0);
          const TileRange a = scalar.tile_range(at / update_tile), b = vector.tile_range(at / update_tile);
          CHECK(a.largest == b.largest && a.lowest_bit == b.lowest_bit);
        }
      }
    }
}

CASE("topk sends exactly the k largest, ties by lower index, zeros never") {
  ThreadPool pool(3);
  const auto check = [&](const std::vector<float>& update) {
    const size_t length = update.size();
    for (ThreadPool* helpers : {static_cast<ThreadPool*>(nullptr), &pool}) {
      std::vector<uint8_t> bytes;
      encode_update(update, {}, {Codec::topk, 1.0 / 64, 4, 0}, bytes, codec_kernels(), helpers);
      std::vector<size_t> order(length);
      for (size_t i = 0; i < length; ++i) order[i] = i;
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return std::fabs(update[a]) > std::fabs(update[b]); });
      size_t k = std::max<size_t>(1, static_cast<size_t>(std::llround(static_cast<double>(length) / 64)));
      while (k > 0 && update[order[k - 1]] == 0) --k;
      std::vector<bool> expected(length);
      for (size_t i = 0; i < k; ++i) expected[order[i]] = true;
      CHECK(sent_elements(bytes) == expected);
      if (k == 0 || k == length) continue;
      expected[order[0]] = false, expected[order[k]] = true;
      CHECK(sent_elements(bytes) != expected);  // canary: the first that is not sent, instead of the largest
    }
  };
  for (const char* kind : distributions)
    for (size_t length : {1, 64, 1000, 20000}) check(draw(kind, length, 5));
  // Magnitudes that fall into one bin of the histogram: all alike, of few kinds, or different in the last bits only.
  std::mt19937_64 random(1);
  std::vector<float> update(4 * 65536 + 999);
  for (uint64_t kinds : {1, 2, 3, 50, 5000, 1000000}) {
    for (float& v : update) v = (random() % 2 ? 1.0f : -1.0f) * (1.0f + static_cast<float>(random() % kinds) * 0x1p-23f);
    check(update);
    for (size_t i = 70000; i < 140000; ++i) update[i] = 0.5f;  // a slice without any
    update[100000] = 9.0f;
    check(update);
  }
}

CASE("topk counts a crowd of equal magnitudes whatever the last digits of their bits and wherever they lie") {
  std::vector<float> update(4 * 65536 + 999, 1.0f);
  for (size_t offset = 0; offset < 4; ++offset) {
    std::fill(update.begin(), update.end(), 1.0f);
    for (size_t i = 2048 + offset; i < 65536; i += 4) update[i] = 1.0625f;  // the last ten bits are 0, the ten before them are not
    std::vector<uint8_t> bytes;
    encode_update(update, {}, {Codec::topk, 1.0 / 64, 2, 0}, bytes);
    std::vector<bool> expected(update.size());
    for (size_t i = 0; i < 4112; ++i) expected[2048 + offset + 4 * i] = true;  // 1/64 of all
    CHECK(sent_elements(bytes) == expected);
  }
}

CASE("stochastic rounding is unbiased and its codes are the two neighbours") {
  const std::vector<float> values = {0.0f, 1.0f, -0.3f, 0.77f, -0.995f, 0.0021f, 0.5f, -0.124f};
  for (Codec codec : {Codec::int8, Codec::int4}) {
    std::vector<float> update(1024);
    for (size_t i = 0; i < update.size(); ++i) update[i] = values[i % values.size()];
    const double step = codec == Codec::int8 ? 1.0 / 127 : 1.0 / 7;
    std::vector<double> sum(values.size());
    constexpr int seeds = 400;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      std::vector<uint8_t> bytes;
      encode_update(update, {}, {codec, 1, 2, seed}, bytes);
      const std::vector<float> sent = decoded(bytes);
      for (size_t i = 0; i < update.size(); ++i) {
        CHECK_LE(std::fabs(sent[i] - update[i]), step * 1.01);
        sum[i % values.size()] += sent[i];
      }
    }
    const double draws = seeds * static_cast<double>(update.size() / values.size());
    // A draw deviates by at most half a step (standard deviation); five of them over the root of the number of draws.
    for (size_t v = 0; v < values.size(); ++v) CHECK_LE(std::fabs(sum[v] / draws - values[v]), 5 * step * 1.01 / 2 / std::sqrt(draws));
  }
}

CASE("seeds change the draws, and only they do") {
  const std::vector<float> update = draw("normal", 4096, 1);
  std::vector<uint8_t> a, b, c;
  encode_update(update, {}, {Codec::int8, 1, 2, 1}, a);
  encode_update(update, {}, {Codec::int8, 1, 2, 1}, b);
  encode_update(update, {}, {Codec::int8, 1, 2, uint64_t{1} << 40}, c);
  CHECK(a == b && a != c);
}

CASE("the bytes and residuals of every codec are those of version 1 of the wire") {
  // Numbers of a generator of our own: steep enough for many levels, and a crowd of equal magnitudes beyond one slice.
  const auto values = [](size_t count, uint32_t state) {
    std::vector<float> all(count);
    for (size_t i = 0; i < count; ++i) {
      state = state * 1664525u + 1013904223u;
      const float uniform = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
      all[i] = i % 3 == 0 ? 0.01f * uniform * uniform * uniform : i % 7 == 0 ? std::copysign(0.00390625f, uniform) : 0.004f * uniform;
    }
    return all;
  };
  const auto crowd = [](size_t count) {
    std::vector<float> all(count);
    for (size_t i = 0; i < count; ++i) all[i] = (i % 5 ? 0.125f : 0.1250001f) * (i % 2 ? 1.0f : -1.0f);
    return all;
  };
  struct Golden {
    uint32_t plain, crowded;
  };
  const Golden golden[] = {// f32, bf16, int8, int4; topk of 2, 4 and 8 bits at densities 1/64, 0.1 and 1
                           {0x983d2439, 0xeaaf85f9}, {0x135912e1, 0xb58e433f}, {0xe69f21d1, 0xd09bb6ac}, {0x8e1fb962, 0x83442794},
                           {0x387b8660, 0x2e1063e2}, {0xd854d3bb, 0xca60ae78}, {0xaf84e87f, 0x55407954}, {0x743847d1, 0x96ef7394},
                           {0xbafaa82e, 0xfe409488}, {0x6e9c4355, 0x3e516827}, {0x1cd2f8cf, 0x0db9e420}, {0xf1756e07, 0xc10dac8c},
                           {0x7395834a, 0xd2c44c51}};
  size_t at = 0;
  for (const CodecOptions& options : every_codec()) {
    if (options.codec > Codec::topk || options.version == 1) continue;  // met already: the loop has every codec write version 1
    const auto digest = [&](const std::vector<float>& update, std::vector<float> residual) {
      std::vector<uint8_t> bytes;
      CodecOptions first_version = options;
      first_version.version = 1;
      encode_update(update, residual, first_version, bytes);
      const uint8_t* kept = reinterpret_cast<const uint8_t*>(residual.data());
      bytes.insert(bytes.end(), kept, kept + residual.size() * sizeof(float));
      return crc32c(bytes);
    };
    const Golden got{digest(values(10007, 7), values(10007, 99)), digest(crowd(300000), std::vector<float>(300000))};
    if (at >= std::size(golden) || got.plain != golden[at].plain || got.crowded != golden[at].crowded)
      harness::report(__FILE__, __LINE__,
                      format_text("%s, %d bits, density %g: {0x%08x, 0x%08x}", codec_name(options.codec), options.bits, options.density,
                                  got.plain, got.crowded));
    ++at;
  }
}

CASE("the bytes and residuals that version 2 of the wire adds") {
  const auto values = [](size_t count, uint32_t state) {
    std::vector<float> all(count);
    for (float& v : all) state = state * 1664525u + 1013904223u, v = 0.01f * static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    return all;
  };
  const UpdateTensor layout[] = {{100, 64, 0.05}, {50, 72, 0.2}, {7, 1, 0.05}};
  const uint32_t golden[] = {0xd958ecb8, 0xcf8f4e8e, 0xe8b3258a, 0x4013f379, 0x59c6282c, 0x6eca9193, 0x5e60ff0b, 0x5e60ff0b,
                             0xde56a180, 0x48f7b8f9, 0x213cea88, 0x39e6cea9, 0xb7fdfad3, 0x98b20b03, 0x5e8bba7b, 0x52561a4f,
                             0xa5d4d997, 0xe4c80430, 0x55512160, 0x2ee63c3b, 0x8e149b15, 0x32e43e6b, 0xec87ff9d, 0x0cfe6aca};
  size_t at = 0;
  for (CodecOptions options : every_codec()) {
    if (options.codec < Codec::topk || options.version == 1 || (options.codec == Codec::topk && options.density != 1.0 / 64)) continue;
    for (bool with_layout : {false, true}) {
      options.layout = {layout, with_layout ? std::size(layout) : 0};
      std::vector<float> residual = values(10007, 99);
      std::vector<uint8_t> bytes;
      encode_update(values(10007, 7), residual, options, bytes);
      const uint8_t* kept = reinterpret_cast<const uint8_t*>(residual.data());
      bytes.insert(bytes.end(), kept, kept + residual.size() * sizeof(float));
      const uint32_t got = crc32c(bytes);
      if (at >= std::size(golden) || got != golden[at])
        harness::report(__FILE__, __LINE__,
                        format_text("%zu: %s, %d bits, density %g%s: 0x%08x", at, codec_name(options.codec), options.bits, options.density,
                                    with_layout ? ", layout" : "", got));
      ++at;
    }
  }
}

CASE("sizes on the wire: topk 1/64 with 2 bits takes at most 0.145 bit per parameter from a million on") {
  for (size_t length : {100000, 262144, 1000000})
    for (const char* kind : distributions) {
      std::vector<uint8_t> bytes;
      encode_update(draw(kind, length, 2), {}, {Codec::topk, 1.0 / 64, 2, 0}, bytes);
      // Magnitudes that are uniform fill both levels: 0.1161 + 0.0156 + 0.0156 bit is then the least that any code can do.
      const bool even = std::string(kind) == "huge" || std::string(kind) == "denormal";
      CHECK_LE(8.0 * static_cast<double>(bytes.size()) / static_cast<double>(length), length < 1000000 ? 0.152 : even ? 0.148 : 0.145);
    }
  std::vector<float> blocks(100000);  // positions in dense runs, and evenly spaced
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = i % 6400 < 100 || i % 64 == 0 ? 1.0f + static_cast<float>(i % 7) : 1e-3f;
  std::vector<uint8_t> bytes;
  encode_update(blocks, {}, {Codec::topk, 1.0 / 64, 2, 0}, bytes);
  CHECK_LE(8.0 * static_cast<double>(bytes.size()) / 100000, 0.16);
  encode_update(blocks, {}, {Codec::int4, 1, 2, 0}, bytes);
  CHECK_LE(8.0 * static_cast<double>(bytes.size()) / 100000, 4.13);
}

CASE("levels: two values are sent exactly, many with a small error") {
  std::vector<float> update(6400);
  for (size_t i = 0; i < update.size(); i += 64) update[i] = i % 128 ? -2.0f : 0.5f;
  std::vector<float> residual(update.size());
  std::vector<uint8_t> bytes;
  encode_update(update, residual, {Codec::topk, 1.0 / 64, 2, 0}, bytes);
  for (float r : residual) CHECK(r == 0);
  const std::vector<float> normal = draw("normal", 200000, 8);
  const double bounds[] = {0.13, 0.05, 0.006};  // relative to the norm of what is sent; uniform levels give 0.16, 0.05, 0.003
  for (int i = 0; i < 3; ++i) {
    encode_update(normal, {}, {Codec::topk, 1.0 / 64, 2 << i, 0}, bytes);
    const std::vector<float> sent = decoded(bytes);
    const std::vector<bool> chosen = sent_elements(bytes);
    double error = 0, norm = 0;
    for (size_t j = 0; j < normal.size(); ++j) {
      if (!chosen[j]) continue;
      error += std::pow(static_cast<double>(sent[j]) - normal[j], 2), norm += std::pow(normal[j], 2);
    }
    CHECK_LE(std::sqrt(error / norm), bounds[i]);
  }
}

CASE("levels: a magnitude halfway between two goes to the lower one") {
  const auto levels_of = [](const std::vector<float>& magnitudes, int levels = 3) {
    const auto bits = [](float magnitude) { return std::bit_cast<uint32_t>(magnitude); };
    MagnitudeHistogram histogram(bits(magnitudes.front()), bits(magnitudes.back()));
    for (const float magnitude : magnitudes) histogram.add(bits(magnitude), magnitude);
    histogram.fit(levels);
    std::vector<float> of_each;
    for (const float magnitude : magnitudes) of_each.push_back(to_f32(histogram.levels()[histogram.level_of(bits(magnitude))]));
    return of_each;
  };
  CHECK(levels_of({2, 4, 5, 12}) == std::vector<float>({3, 3, 5, 12}));  // 4 lies between 3 and 5
  CHECK(levels_of({2, 4.0625f, 5, 12}) == std::vector<float>({2, 4.53125f, 4.53125f, 12}));
  CHECK(levels_of({1, 2, 3}, 2) == std::vector<float>({1, 2.5f, 2.5f}));  // of two cuts as good, the first
}

CASE("a message's length follows from the number of elements, or is not known before") {
  for (const CodecOptions& options : every_codec()) {
    const bool open = sends_some(options.codec) || options.codec == Codec::lowrank;
    CHECK((message_bytes(options.codec, 1000) == -1) == open);
  }
  CHECK(message_bytes(Codec::f32, 1000) == update_header_bytes + 4000 && message_bytes(Codec::sign, 0) == update_header_bytes);
}

CASE("threads change no byte and no residual, in place or beside") {
  constexpr size_t length = 3 * 65536 + 777;  // a few slices and a ragged end
  for (const CodecOptions& options : every_codec())
    for (const char* kind : {"normal", "sparse", "mixed"}) {
      const std::vector<float> update = draw(kind, length, 5);
      const std::vector<float> before = draw("normal", length, 6);
      std::vector<float> alone = before;
      std::vector<uint8_t> expected;
      encode_update(update, alone, options, expected);
      for (int threads : {2, 3}) {
        ThreadPool pool(threads);
        std::vector<float> in_place = before, beside(length, 7.0f), values(length), expected_values(length);
        std::vector<uint8_t> bytes, other;
        encode_update(update, in_place, options, bytes, codec_kernels(), &pool);
        CHECK(bytes == expected);
        CHECK(std::memcmp(in_place.data(), alone.data(), length * 4) == 0);
        const auto place = [&](int64_t size) {
          CHECK(size == message_bytes(options.codec, static_cast<int64_t>(length)) || sends_some(options.codec));
          other.assign(static_cast<size_t>(size), 0xee);
          return other.data();
        };
        encode_update({update, before, beside}, options, place, &pool);
        CHECK(other == expected);
        CHECK(std::memcmp(beside.data(), alone.data(), length * 4) == 0);
        decode_update(expected, expected_values);
        decode_update(expected, values, &pool);
        CHECK(std::memcmp(values.data(), expected_values.data(), length * 4) == 0);
        std::vector<float> changed = update;
        changed[length - 1] += 1e30f;
        in_place = before;
        encode_update(changed, in_place, options, other, codec_kernels(), &pool);
        CHECK(other != expected || in_place != alone);  // canary: the last element counts, sent or kept
      }
    }
}

CASE("with threads the first element that is not finite is named, and nothing changes") {
  ThreadPool pool(3);
  std::vector<float> update = draw("normal", 300000, 4), residual = draw("normal", 300000, 5);
  for (size_t at : {299999, 200000, 131071}) update[at] = NAN;
  const std::vector<float> before = residual;
  for (const CodecOptions& options : every_codec()) {
    std::vector<uint8_t> bytes = {9};
    std::string said;
    try {
      encode_update(update, residual, options, bytes, codec_kernels(), &pool);
    } catch (const Error& error) {
      said = error.what();
    }
    CHECK(said.find("131071") != std::string::npos);
    CHECK(residual == before && bytes == std::vector<uint8_t>{9});
  }
}

CASE("no memory for the message: nothing changes") {
  const std::vector<float> update = draw("normal", 5000, 4);
  std::vector<float> residual = draw("normal", 5000, 5);
  const std::vector<float> before = residual;
  const auto refuse = [](int64_t) -> uint8_t* { throw std::bad_alloc(); };
  for (const CodecOptions& options : every_codec()) {
    CHECK_THROWS(encode_update({update, residual, residual}, options, refuse), E_MEMORY);
    CHECK(residual == before);
  }
}

CASE("what is not finite is refused with its index, and nothing changes") {
  for (const CodecOptions& options : every_codec())
    for (float poison : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> update = draw("normal", 5000, 4), residual = draw("normal", 5000, 5);
      update[4321] = poison;
      const std::vector<float> before = residual;
      std::vector<uint8_t> bytes = {1, 2, 3};
      bool named = false;
      try {
        encode_update(update, residual, options, bytes);
      } catch (const Error& error) {
        named = error.code() == Code::E_NONFINITE && std::string(error.what()).find("4321") != std::string::npos;
      }
      CHECK(named);
      CHECK(residual == before && bytes == (std::vector<uint8_t>{1, 2, 3}));
    }
  std::vector<float> update = {1.0f, 3e38f}, residual = {0.0f, 3e38f};  // finite each, not together
  std::vector<uint8_t> bytes;
  CHECK_THROWS(encode_update(update, residual, {Codec::int8, 1, 2, 0}, bytes), E_NONFINITE);
}

CASE("bad options are refused") {
  const std::vector<float> update(10);
  std::vector<float> residual(9);
  std::vector<uint8_t> bytes;
  CHECK_THROWS(encode_update(update, residual, {Codec::f32, 1, 2, 0}, bytes), E_SHAPE);
  std::vector<float> whole(10);
  CHECK_THROWS(encode_update({update, whole, residual}, {Codec::f32, 1, 2, 0}, [](int64_t) -> uint8_t* { return nullptr; }), E_SHAPE);
  CHECK_THROWS(encode_update({update, whole, {}}, {Codec::f32, 1, 2, 0}, [](int64_t) -> uint8_t* { return nullptr; }), E_SHAPE);
  CHECK_THROWS(encode_update(update, {}, {Codec::topk, 0.0, 2, 0}, bytes), E_ARGUMENT);
  CHECK_THROWS(encode_update(update, {}, {Codec::topk, 1.5, 2, 0}, bytes), E_ARGUMENT);
  CHECK_THROWS(encode_update(update, {}, {Codec::topk, NAN, 2, 0}, bytes), E_ARGUMENT);
  CHECK_THROWS(encode_update(update, {}, {Codec::topk, 0.5, 3, 0}, bytes), E_ARGUMENT);
  for (int number : {-1, codec_count, 17})
    CHECK_THROWS(encode_update(update, {}, {static_cast<Codec>(number), 0.5, 2, 0}, bytes), E_ARGUMENT);
  try {
    encode_update(update, {}, {static_cast<Codec>(9), 0.5, 2, 0}, bytes);
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "codec number 9 is unknown, expected 0 to 8");
  }
  encode_update(update, {}, {Codec::topk, 1.0, 8, 0}, bytes);
}

CASE("canary: a residual that forgets one element, or a value off by three ulp, breaks the law") {
  const std::vector<float> update = draw("normal", 1000, 6);
  std::vector<float> residual(update.size());
  std::vector<uint8_t> bytes;
  encode_update(update, residual, {Codec::topk, 1.0 / 64, 2, 0}, bytes);
  std::vector<float> sent = decoded(bytes);
  const std::vector<bool> chosen = sent_elements(bytes);
  const std::vector<float> zero(update.size());
  CHECK(broken(update, zero, sent, residual, chosen) == 0);
  size_t kept = 0;
  while (chosen[kept]) ++kept;
  std::vector<float> wrong = residual;
  wrong[kept] = 0;
  CHECK(broken(update, zero, sent, wrong, chosen) == 1);
  size_t given = 0;
  while (!chosen[given]) ++given;
  sent[given] += static_cast<float>(3 * ulp(sent[given]));
  CHECK(broken(update, zero, sent, residual, chosen) == 1);
}

TEST_MAIN()
