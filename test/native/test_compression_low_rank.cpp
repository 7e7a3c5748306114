// lowrank: the law of error feedback, how near the factors come, what is sent whole, and forged tables.
#include <limits>
#include <random>
#include <vector>

#include "base/half.h"
#include "compression/checksum.h"
#include "compression/codec.h"
#include "compression/low_rank.h"
#include "compression/update_reader.h"
#include "draws.h"
#include "harness.h"

using namespace fedlora;

namespace {
const char* const distributions[] = {"normal", "low rank", "zero", "constant", "tiny", "huge", "denormal", "mixed"};

/// [rows, columns] of a kind; "low rank" is a sum of two outer products.
std::vector<float> draw(const std::string& kind, int64_t rows, int64_t columns, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto normal = [&] { return static_cast<float>(draws::normal(random)); };
  std::vector<float> left(static_cast<size_t>(2 * rows)), right(static_cast<size_t>(2 * columns)), values;
  for (float& v : left) v = normal();
  for (float& v : right) v = normal();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      const float z = normal();
      float v = 1e-3f * z;
      if (kind == "low rank") v = left[2 * i] * right[2 * j] + 0.3f * left[2 * i + 1] * right[2 * j + 1];
      if (kind == "zero") v = 0;
      if (kind == "constant") v = -0.0123f;
      if (kind == "tiny") v = 1e-30f * z;
      if (kind == "huge") v = std::copysign(3.4e38f * (static_cast<float>(random() % 1000) / 999.0f), z);
      if (kind == "denormal") v = std::bit_cast<float>(static_cast<uint32_t>(random() & 0x807fffffu));
      if (kind == "mixed") v = std::ldexp(z, static_cast<int>(random() % 200) - 120);
      values.push_back(v);
    }
  return values;
}

struct Shapes {
  std::vector<UpdateTensor> layout;
  std::vector<float> values(const std::string& kind, uint64_t seed) const {
    std::vector<float> all;
    for (const UpdateTensor& t : layout) {
      const std::vector<float> one = draw(kind, t.rows, t.columns, seed + all.size());
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
};

const Shapes shapes[] = {{{{1, 1, 1}}},
                         {{{1, 5000, 1}, {7, 1, 1}, {2, 2, 1}}},
                         {{{8, 192, 1}, {192, 8, 1}, {16, 100, 1}, {64, 16, 1}, {3, 1, 1}}},
                         {{{33, 257, 1}, {2100, 9, 1}}}};

CodecOptions options_for(const Shapes& of, int rank, uint64_t seed = 5) {
  CodecOptions options{Codec::lowrank, 1, 2, seed};
  options.rank = rank, options.layout = of.layout;
  return options;
}

std::vector<float> decoded(const std::vector<uint8_t>& bytes, const CodecKernels& kernels = codec_kernels()) {
  const UpdateReader reader(bytes, nullptr, kernels);
  std::vector<float> out(static_cast<size_t>(reader.count()));
  for (int64_t first = 0; first < reader.count(); first += update_tile)
    reader.decode(first, std::min(update_tile, reader.count() - first), out.data() + first);
  return out;
}

double norm(const std::vector<float>& values) {
  double sum = 0;
  for (float v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

void reseal(std::vector<uint8_t>& bytes) {
  const uint32_t body = body_checksum(std::span<const uint8_t>(bytes).subspan(update_header_bytes));
  std::memcpy(bytes.data() + 32, &body, 4);
  const uint32_t header = crc32c(std::span<const uint8_t>(bytes).first(36));
  std::memcpy(bytes.data() + 36, &header, 4);
}

/// Elements where sent + residual is not update + residual before, to one ulp of the largest.
int64_t broken(const std::vector<float>& update, const std::vector<float>& before, const std::vector<float>& sent,
               const std::vector<float>& after) {
  int64_t count = 0;
  for (size_t i = 0; i < update.size(); ++i) {
    const float t = update[i] + before[i], largest = std::max({std::fabs(t), std::fabs(sent[i]), std::fabs(after[i])});
    const double allowed = static_cast<double>(std::nextafter(largest, std::numeric_limits<float>::infinity())) - largest;
    count += !(std::fabs(static_cast<double>(sent[i]) + after[i] - t) <= allowed && after[i] == t - sent[i]);
  }
  return count;
}
}  // namespace

CASE("sent + residual = update + previous residual, for every shape, rank and distribution, over three rounds") {
  for (const Shapes& of : shapes)
    for (int rank : {1, 2, 7, 256})
      for (const char* kind : distributions) {
        std::vector<float> residual(of.values(kind, 0).size());
        for (uint64_t round = 0; round < 3; ++round) {
          std::vector<float> update = of.values(kind, round);
          if (std::string(kind) == "huge" && round > 0)
            for (float& v : update) v *= 1e-6f;
          const std::vector<float> before = residual;
          std::vector<uint8_t> bytes;
          encode_update(update, residual, options_for(of, rank), bytes);
          const int64_t bad = broken(update, before, decoded(bytes), residual);
          if (bad != 0)
            harness::report(__FILE__, __LINE__,
                            format_text("%s, rank %d, round %d: %lld", kind, rank, static_cast<int>(round), static_cast<long long>(bad)));
        }
      }
}

CASE("a tensor of the rank that is sent comes through, up to bf16; a rank less does not bring it") {
  const Shapes of{{{24, 300, 1}}};
  const std::vector<float> update = of.values("low rank", 3);
  const auto error = [&](int rank) {
    std::vector<float> residual(update.size());
    std::vector<uint8_t> bytes;
    encode_update(update, residual, options_for(of, rank), bytes);
    CHECK(static_cast<int64_t>(bytes.size()) == 40 + 4 + 12 + 2 * rank * 324);
    return norm(residual) / norm(update);
  };
  CHECK_LE(error(2), 0x1p-8);  // two factors, each within 2^-9
  CHECK(error(1) > 0.1);       // canary
}

/// Of a matrix whose singular values fall: what share of the largest one's square a message of rank 1 catches.
double share_caught(int matrix) {
  const Shapes of{{{16, 192, 1}}};
  std::vector<float> update(16 * 192);
  for (int k = 0; k < 16; ++k) {
    const uint64_t seed = static_cast<uint64_t>(200 * matrix + k);
    const std::vector<float> left = draw("normal", 1, 16, 100 + seed), right = draw("normal", 1, 192, 200 + seed);
    for (size_t a = 0; a < 16; ++a)
      for (size_t b = 0; b < 192; ++b) update[192 * a + b] += left[a] * right[b] / static_cast<float>(k + 1);
  }
  // The largest singular value by a long power iteration on M·Mᵀ.
  std::vector<double> left(16, 1.0);
  double top = 0;
  for (int i = 0; i < 400; ++i) {
    std::vector<double> right(192), next(16);
    for (size_t a = 0; a < 16; ++a)
      for (size_t b = 0; b < 192; ++b) right[b] += left[a] * update[192 * a + b];
    for (size_t a = 0; a < 16; ++a)
      for (size_t b = 0; b < 192; ++b) next[a] += right[b] * update[192 * a + b];
    top = 0;
    for (double v : next) top += v * v;
    top = std::sqrt(top);
    for (size_t a = 0; a < 16; ++a) left[a] = next[a] / top;
  }
  std::vector<float> residual(update.size());
  std::vector<uint8_t> bytes;
  encode_update(update, residual, options_for(of, 1), bytes);
  const double whole = norm(update), rest = norm(residual), caught = whole * whole - rest * rest;
  CHECK_LE(caught, top * (1 + 0x1p-6));  // canary: nothing of rank 1 catches more
  const std::vector<float> nothing(update.size());
  for (int round = 0; round < 20; ++round) encode_update(nothing, residual, options_for(of, 1, static_cast<uint64_t>(round)), bytes);
  CHECK_LE(norm(residual), 0.02 * whole);
  return caught / top;
}

CASE("two iterations come near the best of a falling spectrum, and rounds of feedback bring what is left") {
  double sum = 0;  // one start may lie across the direction that it should find
  for (int matrix = 0; matrix < 8; ++matrix) sum += share_caught(matrix);
  CHECK_LE(0.7 * 8, sum);  // a start without direction has 1/16 of the square
}

CASE("every instruction set and any number of threads write the same bytes and residuals, and read the same values") {
  ThreadPool pool(3);
  for (const Shapes& of : shapes)
    for (const char* kind : {"normal", "mixed", "huge"}) {
      const std::vector<float> update = of.values(kind, 4);
      std::vector<float> first(update.size());
      std::vector<uint8_t> bytes;
      encode_update(update, first, options_for(of, 3), bytes, codec_kernels(Isa::scalar));
      const std::vector<float> values = decoded(bytes, codec_kernels(Isa::scalar));
      for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) {
        const CodecKernels& kernels = codec_kernels(static_cast<Isa>(level));
        std::vector<float> residual(update.size());
        std::vector<uint8_t> other;
        encode_update(update, residual, options_for(of, 3), other, kernels, &pool);
        CHECK(other == bytes && std::memcmp(residual.data(), first.data(), first.size() * 4) == 0);
        CHECK(std::memcmp(decoded(other, kernels).data(), values.data(), values.size() * 4) == 0);
        const UpdateReader a(bytes, nullptr, codec_kernels(Isa::scalar)), b(bytes, &pool, kernels);
        for (int64_t tile = 0; tile * update_tile < a.count(); ++tile)
          CHECK(a.tile_range(tile).largest == b.tile_range(tile).largest && a.tile_range(tile).lowest_bit == b.tile_range(tile).lowest_bit);
      }
      std::vector<uint8_t> seeded;
      encode_update(update, {}, options_for(of, 3, 6), seeded);
      if (of.layout.size() > 4 && std::string(kind) == "normal") CHECK(seeded != bytes);  // canary: another start
    }
}

CASE("what factors cannot stand for is sent whole: vectors, small tensors, products beyond float32") {
  CHECK(rank_of(1, 5000, 4) == 0 && rank_of(2, 2, 1) == 0 && rank_of(8, 192, 2) == 2 && rank_of(8, 192, 8) == 0 && rank_of(8, 192, 7) == 7);
  const Shapes of{{{20, 20, 1}}};
  const std::vector<float> update = of.values("huge", 1);
  std::vector<uint8_t> bytes;
  encode_update(update, {}, options_for(of, 3), bytes);
  const std::vector<float> sent = decoded(bytes);
  CHECK(bytes.size() == 40 + 4 + 12 + 2 * 400 || norm(sent) > 0);
  for (float v : sent) CHECK(std::isfinite(v));
}

CASE("bad options are refused") {
  const std::vector<float> update(64, 1.0f);
  std::vector<uint8_t> bytes;
  CHECK_THROWS(encode_update(update, {}, {Codec::lowrank, 1, 2, 0}, bytes), E_ARGUMENT);  // no layout
  const Shapes of{{{8, 8, 1}}};
  for (int rank : {0, -1, 257}) CHECK_THROWS(encode_update(update, {}, options_for(of, rank), bytes), E_ARGUMENT);
  encode_update({}, {}, {Codec::lowrank, 1, 2, 0}, bytes);
  CHECK(read_header(bytes).count == 0 && decoded(bytes).empty());
  std::vector<float> bad = update;
  bad[63] = NAN;
  CHECK_THROWS(encode_update(bad, {}, options_for(of, 1), bytes), E_NONFINITE);
}

CASE("resealed forgeries: tables that do not fit, and numbers that are not finite") {
  const Shapes of{{{8, 192, 1}, {1, 10, 1}}};
  std::vector<uint8_t> good;
  encode_update(of.values("normal", 1), {}, options_for(of, 2), good);
  const auto verdict = [&](size_t at, auto value) {
    std::vector<uint8_t> bad = good;
    std::memcpy(bad.data() + at, &value, sizeof value);
    reseal(bad);
    try {
      decoded(bad);
    } catch (const Error& error) {
      return error.code();
    }
    return Code::E_INTERNAL;
  };
  for (uint32_t count : {0u, 1u, 3u, 0x20000000u, 0xffffffffu}) CHECK(verdict(40, count) == Code::E_FORMAT);
  for (uint32_t side : {0u, 1u, 7u, 9u, 0x10000u, 0xffffffffu}) CHECK(verdict(44, side) == Code::E_FORMAT);
  for (uint32_t rank : {0u, 1u, 3u, 9u, 0xffffffffu}) CHECK(verdict(52, rank) == Code::E_FORMAT);
  CHECK(verdict(8, uint64_t{1545}) == Code::E_FORMAT && verdict(8, uint64_t{0}) == Code::E_FORMAT);
  CHECK(verdict(68, uint16_t{0x7f80}) == Code::E_NONFINITE && verdict(good.size() - 2, uint16_t{0xffc0}) == Code::E_NONFINITE);
  CHECK(verdict(68, uint16_t{0x3f80}) == Code::E_INTERNAL);  // canary: a number is a number
  for (uint64_t claimed : {1537, 1545, 1547, 2000}) {
    std::vector<uint8_t> bad = good;
    std::memcpy(bad.data() + 8, &claimed, 8), std::memcpy(bad.data() + 16, &claimed, 8);
    reseal(bad);
    CHECK_THROWS(decoded(bad), E_FORMAT);
  }
  std::vector<uint8_t> large = good;  // products beyond float32 of factors within it
  for (size_t at = 68; at < 68 + 2 * (16 + 384); at += 2) large[at] = 0x7f, large[at + 1] = 0x7f;
  reseal(large);
  CHECK_THROWS(decoded(large), E_NONFINITE);
}

TEST_MAIN()
