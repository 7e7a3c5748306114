// What a seed chooses (randk, blocks), signs, and densities of tensors: who is sent, how often, and with what expectation.
#include <random>
#include <vector>

#include "base/philox.h"
#include "compression/checksum.h"
#include "compression/chosen_runs.h"
#include "compression/codec.h"
#include "compression/update_reader.h"
#include "draws.h"
#include "harness.h"

using namespace fedlora;

namespace {
std::vector<float> normal(size_t count, uint64_t seed) { return draws::normals(count, seed, 1e-3f); }

CodecOptions chosen_options(Codec codec, double density, int bits, uint64_t seed, uint64_t choice_seed) {
  CodecOptions options{codec, density, bits, seed};
  options.choice_seed = choice_seed, options.run_log2 = 4;
  return options;
}

std::vector<uint8_t> encoded(const std::vector<float>& update, const CodecOptions& options) {
  std::vector<uint8_t> bytes;
  encode_update(update, {}, options, bytes);
  return bytes;
}

std::vector<float> decoded(const std::vector<uint8_t>& bytes) {
  std::vector<float> out(static_cast<size_t>(read_header(bytes).count));
  decode_update(bytes, out);
  return out;
}

std::vector<uint32_t> positions_of(const std::vector<uint8_t>& bytes) {
  const UpdateReader reader(bytes);
  return {reader.positions(), reader.positions() + reader.header().sent};
}

void reseal(std::vector<uint8_t>& bytes) {
  const uint32_t body = body_checksum(std::span<const uint8_t>(bytes).subspan(update_header_bytes));
  std::memcpy(bytes.data() + 32, &body, 4);
  const uint32_t header = crc32c(std::span<const uint8_t>(bytes).first(36));
  std::memcpy(bytes.data() + 36, &header, 4);
}
}  // namespace

CASE("chosen runs: one of every stratum, rising, each run of a stratum as often as the others") {
  const ChosenSegment segments[] = {{1003, 21}, {64, 64}, {5, 1}, {4000000000u, 3}};
  for (int run_log2 : {0, 3}) {
    const int64_t strata = 21 + (run_log2 == 0 ? 64 : 8) + 1 + 3;
    ChosenSegment cut[4];
    std::copy(segments, segments + 4, cut);
    if (run_log2 == 3) cut[1].chosen = 8;
    std::vector<int> met(1003);
    constexpr int seeds = 6000;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      int64_t next = 0, seen = 0;
      for_each_run(cut, run_log2, seed, [&](const ChosenRun& run) {
        CHECK(run.begin >= next && run.end > run.begin && run.end - run.begin <= 1 << run_log2);
        next = run.end;
        ++seen;
        for (int64_t i = run.begin; i < run.end && i < 1003; ++i) met[static_cast<size_t>(i)] += static_cast<int>(run.width);
      });
      CHECK(seen == strata && next <= 1003 + 64 + 5 + 4000000000);
    }
    // met / seeds has expectation 1 and deviation √((width − 1) / seeds); six of them over 1003 elements.
    const double width = 1003.0 / (1 << run_log2) / 21 + 1;
    for (int count : met) CHECK_LE(std::fabs(count / static_cast<double>(seeds) - 1), 6 * std::sqrt((width - 1) / seeds));
  }
}

CASE("chosen runs: the stratum from j·R/c on, and in it the run that word j mod 4 of draw j / 4 says") {
  const ChosenSegment segments[] = {{1003, 21}, {100000, 3001}, {7, 0}, {777, 777}};
  for (const uint64_t seed : {uint64_t{5}, uint64_t{0xfedc'ba98'7654'3210}}) {
    std::vector<ChosenRun> runs;
    for_each_run(segments, 0, seed, [&](const ChosenRun& run) { runs.push_back(run); });
    auto run = runs.begin();
    int64_t first = 0;
    for (size_t s = 0; s < std::size(segments); first += segments[s++].length) {
      const Philox draw{seed, s};
      const uint64_t length = segments[s].length, strata = segments[s].chosen;
      for (uint64_t j = 0; j < strata && run != runs.end(); ++j, ++run) {
        const uint64_t low = j * length / strata, width = (j + 1) * length / strata - low;
        CHECK(run->begin == first + static_cast<int64_t>(low + (draw(j / 4)[j % 4] * width >> 32)));
        CHECK(run->width == static_cast<int64_t>(width) && run->end == run->begin + 1);
      }
    }
    CHECK(runs.size() == 21 + 3001 + 777 && run == runs.end());
  }
}

CASE("the choice is a matter of the seed alone: clients that share it send the same elements") {
  for (Codec codec : {Codec::randk, Codec::blocks})
    for (int bits : {4, 8, 16, 32}) {
      const auto first = encoded(normal(5000, 1), chosen_options(codec, 0.1, bits, 1, 77));
      const auto second = encoded(normal(5000, 2), chosen_options(codec, 0.1, bits, 2, 77));
      const auto other = encoded(normal(5000, 1), chosen_options(codec, 0.1, bits, 1, 78));
      CHECK(first.size() == second.size() && first != second);
      CHECK(positions_of(first) == positions_of(second));
      CHECK(positions_of(first) != positions_of(other));  // canary
    }
  // All 64 bits of it: the highest byte alone makes another choice, and travels.
  const uint64_t seed = 77, high = seed | 0xa5ull << 56;
  for (Codec codec : {Codec::randk, Codec::blocks}) {
    const auto low = encoded(normal(5000, 1), chosen_options(codec, 0.1, 8, 1, seed));
    const auto far = encoded(normal(5000, 1), chosen_options(codec, 0.1, 8, 1, high));
    CHECK(positions_of(low) != positions_of(far));
    CHECK(std::memcmp(low.data() + update_header_bytes, &seed, 8) == 0 && std::memcmp(far.data() + update_header_bytes, &high, 8) == 0);
  }
}

CASE("values: f32 are the elements, the others within half a step or a step of their scale") {
  const std::vector<float> update = normal(40000, 3);
  for (Codec codec : {Codec::randk, Codec::blocks})
    for (int bits : {4, 8, 16, 32}) {
      const auto bytes = encoded(update, chosen_options(codec, 0.25, bits, 9, 5));
      const std::vector<float> sent = decoded(bytes);
      CHECK(read_header(bytes).sent >= 9900 && read_header(bytes).sent <= 10100);
      const double step = bits == 4 ? 4.6e-3 / 7 : bits == 8 ? 4.6e-3 / 127 : bits == 16 ? 4.6e-3 / 256 : 0;
      for (uint32_t at : positions_of(bytes)) CHECK_LE(std::fabs(static_cast<double>(sent[at]) - update[at]), step);
    }
}

CASE("unbiased: over seeds the mean of what is sent is the update") {
  const std::vector<float> update = normal(300, 4);
  for (Codec codec : {Codec::randk, Codec::blocks}) {
    std::vector<double> sum(update.size());
    constexpr int seeds = 4000;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      CodecOptions options = chosen_options(codec, 0.2, 32, 0, seed);
      options.unbiased = true;
      const std::vector<float> sent = decoded(encoded(update, options));
      for (size_t i = 0; i < sent.size(); ++i) sum[i] += sent[i];
    }
    // Strata are at most 7 runs wide: deviation |t|·√(6 / seeds), five of them.
    double biased = 0;
    for (size_t i = 0; i < sum.size(); ++i) {
      CHECK_LE(std::fabs(sum[i] / seeds - update[i]), 5.5 * std::fabs(update[i]) * std::sqrt(6.0 / seeds));
      biased += std::fabs(sum[i] / 5 / seeds - update[i]) > 5.5 * std::fabs(update[i]) * std::sqrt(6.0 / seeds);
    }
    CHECK(biased > 250);  // canary: without the factor
  }
}

CASE("densities of tensors: topk takes the largest of each kind, randk and blocks so many of each") {
  std::vector<float> update = normal(20000, 6);
  update[4999] = 0.5f, update[11000] = -0.5f;  // large, and next to the tensor of the other density
  const UpdateTensor layout[] = {{100, 50, 0.01}, {60, 100, 0.2}, {90, 100, 0.01}};
  const auto shares = [&](Codec codec, int bits) {
    CodecOptions options = chosen_options(codec, 0.5, bits, 1, 2);
    options.layout = layout;
    int64_t of_dense = 0, of_thin = 0;
    for (uint32_t at : positions_of(encoded(update, options))) ++(at >= 5000 && at < 11000 ? of_dense : of_thin);
    return std::pair{of_dense, of_thin};
  };
  CHECK(shares(Codec::topk, 2) == std::pair(int64_t{1200}, int64_t{140}));
  CHECK(shares(Codec::randk, 4) == std::pair(int64_t{1200}, int64_t{140}));
  CHECK(shares(Codec::blocks, 16) == std::pair(int64_t{75 * 16}, int64_t{3 * 16 + 6 * 16}));
  CodecOptions options{Codec::topk, 0.5, 2, 0};
  options.layout = layout;
  float smallest = 1;
  const std::vector<float> sent = decoded(encoded(update, options));
  for (size_t i = 5000; i < 11000; ++i)
    if (sent[i] != 0) smallest = std::min(smallest, std::fabs(update[i]));
  for (size_t i = 5000; i < 11000; ++i) CHECK(sent[i] != 0 || std::fabs(update[i]) <= smallest);
}

CASE("signs: every value is the mean of the magnitudes of its block, with the sign of the element") {
  const std::vector<float> update = normal(5000, 8);
  const std::vector<float> sent = decoded(encoded(update, {Codec::sign, 1, 2, 0}));
  for (size_t first = 0; first < update.size(); first += 512) {
    const size_t end = std::min(first + 512, update.size());
    double mean = 0;
    for (size_t i = first; i < end; ++i) mean += std::fabs(update[i]) / static_cast<double>(end - first);
    for (size_t i = first; i < end; ++i) {
      CHECK_LE(std::fabs(std::fabs(sent[i]) / mean - 1), 1.0 / 256);  // bf16
      CHECK(std::signbit(sent[i]) == std::signbit(update[i]));
    }
  }
  CHECK(encoded(update, {Codec::sign, 1, 2, 0}).size() == 40 + 2 * 10 + 625);
}

CASE("bad options of randk, blocks and layouts are refused") {
  const std::vector<float> update = normal(100, 1);
  std::vector<uint8_t> bytes;
  for (int bits : {1, 2, 3, 12, 33}) CHECK_THROWS(encode_update(update, {}, {Codec::randk, 0.5, bits, 0}, bytes), E_ARGUMENT);
  for (int log2 : {0, 21, -1}) {
    CodecOptions options{Codec::blocks, 0.5, 8, 0};
    options.run_log2 = log2;
    CHECK_THROWS(encode_update(update, {}, options, bytes), E_ARGUMENT);
  }
  CodecOptions options{Codec::randk, 0.5, 8, 0};
  options.unbiased = true;
  std::vector<float> residual(100);
  CHECK_THROWS(encode_update(update, residual, options, bytes), E_ARGUMENT);
  const auto with = [&](std::vector<UpdateTensor> layout) {
    CodecOptions given{Codec::topk, 0.5, 2, 0};
    given.layout = layout;
    encode_update(update, {}, given, bytes);
  };
  with({{10, 10, 0.1}});
  CHECK_THROWS(with({{10, 9, 0.1}}), E_SHAPE);
  CHECK_THROWS(with({{10, 10, 0.1}, {1, 1, 0.1}}), E_SHAPE);
  CHECK_THROWS(with({{0, 10, 0.1}}), E_SHAPE);
  CHECK_THROWS(with({{int64_t{1} << 40, int64_t{1} << 40, 0.1}}), E_SHAPE);
  CHECK_THROWS(with({{10, 10, 0.0}}), E_ARGUMENT);
  CHECK_THROWS(with({{10, 10, NAN}}), E_ARGUMENT);
  std::vector<UpdateTensor> many;
  for (int i = 0; i < 10; ++i) many.push_back({1, 10, 0.1 + 0.01 * i});
  CHECK_THROWS(with(many), E_ARGUMENT);
  std::vector<float> huge(100, 3e38f);
  CHECK_THROWS(encode_update(huge, {}, options, bytes), E_NONFINITE);  // times 2
}

CASE("resealed forgeries of randk and signs: what does not fit is refused, and nothing large is made of it") {
  const std::vector<uint8_t> good = encoded(normal(1000, 2), chosen_options(Codec::randk, 0.1, 4, 1, 3));
  const auto refused_of = [](std::vector<uint8_t> bad, size_t at, auto value, Code code) {
    std::memcpy(bad.data() + at, &value, sizeof value);
    reseal(bad);
    try {
      const UpdateReader reader(bad);
    } catch (const Error& error) {
      return error.code() == code;
    }
    return false;
  };
  const auto refused = [&](size_t at, auto value, Code code) { return refused_of(good, at, value, code); };
  CHECK(!refused(40, uint64_t{4}, Code::E_FORMAT));  // another seed is another choice, and legal
  for (uint32_t count : {0u, 2u, 0x20000000u, 0xffffffffu}) CHECK(refused(48, count, Code::E_FORMAT));
  for (uint32_t length : {0u, 999u, 1001u, 0xffffffffu}) CHECK(refused(52, length, Code::E_FORMAT));
  for (uint32_t chosen : {0u, 99u, 101u, 0xffffffffu}) CHECK(refused(56, chosen, Code::E_FORMAT));
  CHECK(refused(16, uint64_t{99}, Code::E_FORMAT) && refused(8, uint64_t{1001}, Code::E_FORMAT));
  CHECK(refused(60, uint16_t{0xffff}, Code::E_FORMAT) && refused(60, uint16_t{0x7f80}, Code::E_FORMAT));
  CHECK(refused(60, uint16_t{0x7f7f}, Code::E_NONFINITE));  // a scale whose seven steps are not finite
  const std::vector<uint8_t> bytes = encoded(normal(1000, 2), chosen_options(Codec::randk, 0.1, 8, 1, 3));
  for (const int scale : {0x7f80, 0xffff, 0xbf80}) CHECK(refused_of(bytes, 60, static_cast<uint16_t>(scale), Code::E_FORMAT));
  std::vector<uint8_t> floats = encoded(normal(1000, 2), chosen_options(Codec::blocks, 0.1, 32, 1, 3));
  const uint32_t infinite = 0x7f800000;
  std::memcpy(floats.data() + floats.size() - 4, &infinite, 4);
  reseal(floats);
  CHECK_THROWS(UpdateReader{floats}, E_NONFINITE);
  // A last run that is shorter, and a header that claims it is not.
  CodecOptions ragged = chosen_options(Codec::blocks, 0.05, 32, 1, 0);
  std::vector<uint8_t> shorter = encoded(normal(1006, 2), ragged);
  while (read_header(shorter).sent % 16 == 0) ++ragged.choice_seed, shorter = encoded(normal(1006, 2), ragged);
  CHECK(read_header(shorter).sent % 16 == 14);
  UpdateHeader longer = read_header(shorter);
  shorter.resize(shorter.size() + 8);
  longer.sent += 2, longer.body_bytes += 8;
  write_header(longer, shorter.data());
  reseal(shorter);
  CHECK_THROWS(UpdateReader{shorter}, E_FORMAT);
  std::vector<uint8_t> signs = encoded(normal(1001, 2), {Codec::sign, 1, 2, 0});
  for (uint16_t scale : {0x8001, 0x7f80, 0x7fc0}) {
    std::vector<uint8_t> bad = signs;
    std::memcpy(bad.data() + 42, &scale, 2);
    reseal(bad);
    CHECK_THROWS(UpdateReader{bad}, E_FORMAT);
  }
  signs.back() |= 2;
  reseal(signs);
  CHECK_THROWS(UpdateReader{signs}, E_FORMAT);
}

TEST_MAIN()
