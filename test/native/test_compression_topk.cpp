// The coded form of topk messages: the range coder, the gaps' model, and bodies of both versions beside one another.
#include <random>
#include <set>
#include <vector>

#include "base/philox.h"
#include "compression/checksum.h"
#include "compression/codec.h"
#include "compression/gap_code.h"
#include "compression/range_coder.h"
#include "compression/topk_coded.h"
#include "compression/update_reader.h"
#include "draws.h"
#include "harness.h"

using namespace fedlora;

namespace {
/// What a coder of probability p pays for n bits of which a share is one, in bits.
double ideal(double ones, double zeros) {
  const double n = ones + zeros;
  const auto part = [n](double k) { return k > 0 ? -k * std::log2(k / n) : 0.0; };
  return part(ones) + part(zeros);
}

std::vector<uint32_t> gaps_at(double density, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint32_t> gaps(count);
  for (uint32_t& g : gaps) g = draws::geometric(random, density);
  return gaps;
}

int64_t spanned(const std::vector<uint32_t>& gaps) {
  int64_t count = 0;
  for (uint32_t gap : gaps) count += int64_t{gap} + 1;
  return count;
}

TopkEntries entries_of(std::vector<uint32_t> gaps, int bits, uint64_t seed) {
  std::mt19937_64 random(seed);
  TopkEntries entries{std::move(gaps), {}};
  for (size_t i = 0; i < entries.gaps.size(); ++i)
    entries.codes.push_back(
        static_cast<uint8_t>((random() % 2 << (bits - 1)) | std::min<uint64_t>(random() % (1u << (bits - 1)), random() % 3)));
  return entries;
}

UpdateHeader header_of(const TopkEntries& entries, int bits, int64_t count) {
  UpdateHeader header;
  header.version = 2, header.codec = Codec::topk, header.bits = bits, header.count = count;
  header.sent = static_cast<int64_t>(entries.gaps.size());
  return header;
}

/// Empty when what is read is what was coded, else what differs.
std::string round_trip(const TopkEntries& entries, int bits, int64_t count, const std::vector<uint8_t>& body) {
  std::vector<uint32_t> positions;
  std::vector<uint8_t> codes;
  read_coded_entries(header_of(entries, bits, count), body, positions, codes);
  int64_t next = 0;
  for (size_t i = 0; i < entries.gaps.size(); ++i) {
    if (positions[i] != static_cast<uint32_t>(next + entries.gaps[i])) return format_text("position %zu", i);
    if (codes[i] != entries.codes[i]) return format_text("code %zu", i);
    next = int64_t{positions[i]} + 1;
  }
  return "";
}

std::vector<float> normal(size_t count, uint64_t seed) { return draws::normals(count, seed, 1e-3f); }
}  // namespace

CASE("range coder: bits come back, at the price of their entropy") {
  for (double share : {0.5, 0.9, 0.03, 0.0, 1.0})
    for (size_t count : {0, 1, 2, 7, 100, 40000}) {
      std::mt19937_64 random(count + 1);
      std::vector<bool> bits(count);
      double ones = 0;
      for (size_t i = 0; i < count; ++i) bits[i] = static_cast<double>(random() % 1000) < 1000 * share, ones += bits[i];
      std::vector<uint8_t> bytes = {9, 8};  // what lies before is not touched
      RangeEncoder encoder(bytes);
      AdaptiveBit model;
      for (bool bit : bits) encoder.put(bit, model);
      encoder.finish();
      CHECK(bytes[0] == 9 && bytes[1] == 8 && (bytes.size() == 2 || bytes.back() != 0));
      RangeDecoder decoder(bytes.data() + 2, static_cast<int64_t>(bytes.size()) - 2);
      AdaptiveBit again;
      bool equal = true;
      for (bool bit : bits) equal = equal && decoder.get(again) == bit;
      CHECK(equal && decoder.at_end());
      // Learning costs half a log2 of the count; the floor of 1/512 and the bound of 2^-11 0.0015 bit each.
      CHECK_LE(8.0 * static_cast<double>(bytes.size() - 2),
               ideal(ones, static_cast<double>(count) - ones) + 40 + 0.003 * static_cast<double>(count));
    }
}

CASE("range coder: carries run back through bytes of 255, which hardly ever happens by itself") {
  // All zeros at first: low is then near the top of the interval, and a last one carries.
  for (int length = 1; length < 400; ++length) {
    std::vector<uint8_t> bytes;
    RangeEncoder encoder(bytes);
    std::vector<AdaptiveBit> models(2);
    models[1].one = 3;
    const auto bit_at = [&](int i) { return i % 97 == 96 || i == length - 1; };
    for (int i = 0; i < length; ++i) encoder.put(bit_at(i), models[static_cast<size_t>(i % 2)]);
    encoder.finish();
    std::vector<AdaptiveBit> again(2);
    again[1].one = 3;
    RangeDecoder decoder(bytes.data(), static_cast<int64_t>(bytes.size()));
    bool equal = true;
    for (int i = 0; i < length; ++i) equal = equal && decoder.get(again[static_cast<size_t>(i % 2)]) == bit_at(i);
    CHECK(equal && decoder.at_end());
  }
}

CASE("gaps: every width, alone and among others, comes back") {
  for (int64_t count : {int64_t{1}, int64_t{3}, int64_t{1000}, int64_t{1} << 20, update_max_elements})
    for (int bits : {2, 4, 8}) {
      std::vector<std::vector<uint32_t>> lists = {{0}, {static_cast<uint32_t>(count - 1)}};
      for (int width = 0; width < 32 && (int64_t{1} << width) <= count; ++width)
        for (int64_t value : {(int64_t{1} << width) - 1, int64_t{1} << width, (int64_t{3} << width) / 2})
          if (value < count) lists.push_back({static_cast<uint32_t>(value)});
      if (count >= 1000) lists.push_back({0, 0, 900, 0, 1, 2, 3, 4, 5, 0, 7});
      for (const std::vector<uint32_t>& gaps : lists) {
        const TopkEntries entries = entries_of(gaps, bits, 3);
        CHECK(round_trip(entries, bits, count, code_entries(entries, bits, count)) == "");
      }
    }
}

CASE("gaps: a body that an earlier build wrote is written and read alike for ever") {
  const TopkEntries entries{{3, 0, 70, 12, 500, 1, 100000, 2, 9, 40}, {0, 9, 3, 7, 15, 8, 1, 1, 2, 12}};
  const std::string hex = "05000000bab550c300ff7e10346b0f0d34b21a7da85a42964bb08b";
  std::vector<uint8_t> body;
  for (size_t i = 0; i < hex.size(); i += 2) body.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  CHECK(code_entries(entries, 4, 200000) == body);
  CHECK(round_trip(entries, 4, 200000, body) == "");
}

CASE("coded bodies: a long one, in which every probability has seen its most, is for ever what it was") {
  TopkEntries entries;
  const Philox draw{5, 0};
  for (uint64_t i = 0; i < 20000; ++i) {
    const auto [gap, code, small, _] = draw(i);
    entries.gaps.push_back(gap % (small % 7 == 0 ? 300 : 20));
    entries.codes.push_back(static_cast<uint8_t>(code % (small % 3 == 0 ? 16 : 2) ^ (code >> 31) << 3));
  }
  const std::vector<uint8_t> body = code_entries(entries, 4, spanned(entries.gaps));
  CHECK(body.size() == 21988 && crc32c(body) == 0x3b5e800e);
  CHECK(round_trip(entries, 4, spanned(entries.gaps), body) == "");
}

CASE("gaps: random positions cost at most 0.6 % more than their entropy, from 4,000 entries on; where the density varies, less") {
  for (double density : {0.1, 1.0 / 64, 1e-3, 1e-5})
    for (size_t sent : {4000, 30000}) {
      const std::vector<uint32_t> gaps = gaps_at(density, sent, sent);
      TopkEntries entries{gaps, std::vector<uint8_t>(sent)};
      const int64_t count = spanned(gaps) + 3;
      const std::vector<uint8_t> body = code_entries(entries, 2, count);
      CHECK(round_trip(entries, 2, count, body) == "");
      const double p = static_cast<double>(sent) / static_cast<double>(count);
      const double entropy = static_cast<double>(sent) * (-std::log2(p) - (1 - p) / p * std::log2(1 - p));
      // One sign, and one level that is always 0 and costs nearly nothing.
      const double positions = 8.0 * static_cast<double>(body.size()) - static_cast<double>(sent);
      CHECK_LE(positions, 1.006 * entropy + 200);
    }
  std::vector<uint32_t> gaps;
  double entropy = 0;  // of the parts, each with its density
  for (int part = 0; part < 40; ++part) {
    const double density = part % 2 ? 1.0 / 12 : 1.0 / 400;
    const std::vector<uint32_t> more = gaps_at(density, 500, static_cast<uint64_t>(part));
    gaps.insert(gaps.end(), more.begin(), more.end());
    entropy += 500 * (-std::log2(density) - (1 - density) / density * std::log2(1 - density));
  }
  const TopkEntries entries{gaps, std::vector<uint8_t>(gaps.size())};
  const int64_t count = spanned(gaps);
  const double p = static_cast<double>(gaps.size()) / static_cast<double>(count);
  const double uniform = static_cast<double>(gaps.size()) * (-std::log2(p) - (1 - p) / p * std::log2(1 - p));
  const double positions = 8.0 * static_cast<double>(code_entries(entries, 2, count).size()) - static_cast<double>(gaps.size());
  CHECK_LE(positions, 0.96 * uniform);
  CHECK_LE(entropy, positions);  // canary: nothing beats the entropy
  CHECK_LE(positions, 1.04 * entropy);
}

CASE("a message is coded when that is shorter, and only up to density 1/8") {
  const std::vector<float> update = normal(1000000, 4);
  std::vector<uint8_t> old, coded;
  const auto encode = [&](double density, int bits, int version, std::vector<uint8_t>& bytes) {
    CodecOptions options{Codec::topk, density, bits, 0};
    options.version = version;
    encode_update(update, {}, options, bytes);
    return read_header(bytes).version;
  };
  for (int bits : {2, 4, 8}) {
    CHECK(encode(1.0 / 64, bits, 1, old) == 1 && encode(1.0 / 64, bits, 2, coded) == 2);
    CHECK(coded.size() < old.size());
    CHECK(encode(0.2, bits, 2, coded) == 1);
  }
  CHECK(encode(1.0 / 64, 2, 2, coded) == 2);
  CHECK_LE(8.0 * static_cast<double>(coded.size()), 0.1425e6);  // normal values: 0.1161 + 0.0156 + 0.0094, 1 % of it for learning
  std::vector<float> regular(64000);                            // a Rice code has nothing to learn
  for (size_t i = 63; i < regular.size(); i += 64) regular[i] = i % 128 == 63 ? 1.0f : -1.0f;
  encode_update(std::span<const float>(regular).first(64 * 3), {}, {Codec::topk, 1.0 / 64, 2, 0}, old);
  CHECK(read_header(old).version == 1);
}

CASE("levels of a coded message: fewer bits, and an error at most 1.2 of the least") {
  const std::vector<float> update = normal(400000, 11);
  const auto error = [&](int version) {
    CodecOptions options{Codec::topk, 1.0 / 64, 2, 0};
    options.version = version;
    std::vector<uint8_t> bytes;
    std::vector<float> residual(update.size()), sent(update.size());
    encode_update(update, residual, options, bytes);
    CHECK(read_header(bytes).version == version);
    decode_update(bytes, sent);
    double sum = 0;
    for (size_t i = 0; i < sent.size(); ++i) sum += sent[i] == 0 ? 0 : std::pow(static_cast<double>(residual[i]), 2);
    return sum;
  };
  CHECK_LE(error(2), 1.21 * error(1));  // levels are rounded to bf16
}

CASE("resealed coded bodies: every byte and every cut is refused or gives entries in range") {
  const TopkEntries entries = entries_of(gaps_at(1.0 / 64, 60, 5), 4, 6);
  const int64_t count = spanned(entries.gaps) + 40;
  const std::vector<uint8_t> good = code_entries(entries, 4, count);
  int64_t taken = 0, refused = 0;
  const auto judge = [&](const std::vector<uint8_t>& body) {
    const std::unique_ptr<uint8_t[]> exact(new uint8_t[body.size()]);
    std::copy(body.begin(), body.end(), exact.get());
    std::vector<uint32_t> positions;
    std::vector<uint8_t> codes;
    try {
      read_coded_entries(header_of(entries, 4, count), {exact.get(), body.size()}, positions, codes);
      ++taken;
      for (size_t i = 0; i < positions.size(); ++i)
        CHECK(positions[i] < count && (i == 0 || positions[i] > positions[i - 1]) && codes[i] < 16);
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_FORMAT);
      ++refused;
    }
  };
  for (size_t at = 0; at < good.size(); ++at)
    for (int value : {0, 1, 127, 128, 255}) {
      std::vector<uint8_t> bad = good;
      bad[at] = static_cast<uint8_t>(value);
      judge(bad);
    }
  for (size_t length = 4; length < good.size(); ++length) judge({good.begin(), good.begin() + static_cast<ptrdiff_t>(length)});
  std::vector<uint8_t> longer = good;
  longer.push_back(1);
  judge(longer);
  longer.insert(longer.end(), 9, 1);
  const int64_t before = refused;
  judge(longer);  // bytes that nothing reads
  CHECK(refused == before + 1);
  CHECK(taken > 50 && refused > 20);
}

CASE("coded bodies: a position at the end of the update, spare bits that are set, plain bits that end too early") {
  const TopkEntries entries{{999999}, {1}};
  std::vector<uint8_t> body = code_entries(entries, 2, 1000000);
  CHECK(round_trip(entries, 2, 1000000, body) == "");
  CHECK_THROWS(round_trip(entries, 2, 999999, body), E_FORMAT);
  CHECK(body[0] == 3);                   // a sign and sixteen bits
  for (int bit = 17; bit < 24; ++bit) {  // the seven that are spare
    std::vector<uint8_t> spoilt = body;
    spoilt[4 + static_cast<size_t>(bit / 8)] |= static_cast<uint8_t>(1 << (bit % 8));
    CHECK_THROWS(round_trip(entries, 2, 1000000, spoilt), E_FORMAT);
  }
  body[0] = 2;
  body.erase(body.begin() + 6);
  CHECK_THROWS(round_trip(entries, 2, 1000000, body), E_FORMAT);
}

TEST_MAIN()
