// Bytes from outside: damaged, cut, foreign, lying. Each gives a coded error; none reads beyond the message or crashes.
#include <memory>
#include <random>
#include <vector>

#include "compression/bits.h"
#include "compression/checksum.h"
#include "compression/checksum_avx512.h"
#include "compression/codec.h"
#include "compression/update_reader.h"
#include "base/vector_math.h"
#include "draws.h"
#include "harness.h"

using namespace fedlora;

namespace {
std::vector<float> normal(size_t count, uint64_t seed) { return draws::normals(count, seed, 1e-3f); }

std::vector<uint8_t> message(Codec codec, size_t count, int bits = 2, double density = 1.0 / 16) {
  std::vector<uint8_t> bytes;
  CodecOptions options{codec, density, bits, 1};
  if (codec == Codec::randk || codec == Codec::blocks) options.bits = 2 * bits, options.run_log2 = 3;
  const int64_t side = static_cast<int64_t>(std::sqrt(static_cast<double>(count))), rest = static_cast<int64_t>(count) - side * side;
  const UpdateTensor layout[] = {{std::max<int64_t>(side, 1), std::max<int64_t>(side, 1), 1}, {1, std::max<int64_t>(rest, 1), 1}};
  if (codec == Codec::lowrank && side > 0) options.layout = {layout, rest > 0 ? 2u : 1u};
  encode_update(normal(count, count), {}, options, bytes);
  return bytes;
}

constexpr Codec codecs[] = {Codec::f32,  Codec::bf16,  Codec::int8,   Codec::int4,   Codec::topk,
                            Codec::sign, Codec::randk, Codec::blocks, Codec::lowrank};

/// Reads a copy that ends at the end of its allocation, so that a sanitizer sees one byte too many. True when the message is accepted.
bool accepted(const std::vector<uint8_t>& bytes) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), exact.get());
  try {
    const UpdateReader reader({exact.get(), bytes.size()});
    std::vector<float> out(static_cast<size_t>(update_tile));
    for (int64_t first = 0; first < reader.count(); first += update_tile) {
      const int64_t length = std::min(update_tile, reader.count() - first);
      reader.decode(first, length, out.data());
      for (int64_t i = 0; i < length; ++i)
        if (!std::isfinite(out[static_cast<size_t>(i)])) harness::report(__FILE__, __LINE__, "a reader gave a value that is not finite");
      if (first > (1 << 22)) break;  // a sparse message may claim many elements
    }
    return true;
  } catch (const Error& error) {
    const Code code = error.code();
    if (code != Code::E_FORMAT && code != Code::E_CHECKSUM && code != Code::E_VERSION && code != Code::E_NONFINITE)
      harness::report(__FILE__, __LINE__, std::string("unexpected code ") + code_name(code) + ": " + error.what());
    return false;
  }
}

/// Both checksums made right again after a forgery, as an attacker would.
void reseal(std::vector<uint8_t>& bytes) {
  if (bytes.size() < static_cast<size_t>(update_header_bytes)) return;
  const uint32_t body = body_checksum(std::span<const uint8_t>(bytes).subspan(update_header_bytes));
  std::memcpy(bytes.data() + 32, &body, 4);
  const uint32_t header = crc32c(std::span<const uint8_t>(bytes).first(36));
  std::memcpy(bytes.data() + 36, &header, 4);
}
}  // namespace

CASE("CRC32C gives the published check value, and the two levels are what they say") {
  const char text[] = "123456789";
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text), 9);
  CHECK(crc32c(bytes) == 0xE3069283u);
  CHECK(crc32c({}) == 0);
  const std::vector<uint8_t> zeros(32);
  CHECK(crc32c(zeros) == 0x8A9136AAu);
  std::vector<uint8_t> body(5 * checksum_segment_bytes + 77);
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<uint8_t>(i * 31 + i / 251);
  std::vector<uint32_t> list;
  for (size_t at = 0; at < body.size(); at += checksum_segment_bytes)
    list.push_back(crc32c(std::span<const uint8_t>(body).subspan(at, std::min(checksum_segment_bytes, body.size() - at))));
  CHECK(body_checksum(body) == crc32c({reinterpret_cast<const uint8_t*>(list.data()), list.size() * 4}));
}

CASE("carry-less products of 512 bits are for the instruction set that has them") {
  if (std::string(isa_name(select_isa())) != "avx512bf16") CHECK(!has_vector_clmul());
}

CASE("fields of bits: written one after another, read at any place, zero beyond the end") {
  uint8_t bytes[8] = {};
  BitWriter writer(bytes);
  writer.put(5, 3), writer.put(0, 0), writer.put(0x7fffffff, 31), writer.put(1, 2), writer.put(0x13, 5);
  writer.finish();
  CHECK(std::memcmp(bytes, "\xfd\xff\xff\xff\x37\x01\0\0", 8) == 0);  // 101, 31 ones, 10 and 11001, lowest bit first
  std::fill(std::begin(bytes), std::end(bytes), uint8_t{0xff});
  for (int64_t size = 0; size <= 8; ++size)
    for (int64_t at = 0; at < 64; ++at) {
      uint64_t want = 0;
      for (int64_t bit = at; bit < std::min<int64_t>(8 * size, at / 8 * 8 + 64); ++bit) want |= uint64_t{1} << (bit - at);
      CHECK(bits_at(bytes, size, at) == want);
    }
}

CASE("the header says what was encoded, byte by byte") {
  const std::vector<uint8_t> bytes = message(Codec::topk, 1000, 4);
  const UpdateHeader header = read_header(bytes);
  CHECK(header.codec == Codec::topk && header.bits == 4 && header.count == 1000 && header.sent == 63);
  CHECK(std::memcmp(bytes.data(), "FLUP\x01\x04\x04", 7) == 0);
  CHECK(bytes[8] == 0xe8 && bytes[9] == 0x03 && bytes[16] == 63);
  CHECK(message(Codec::f32, 10).size() == 40 + 40 && message(Codec::bf16, 10).size() == 40 + 20);
  CHECK(message(Codec::int8, 129).size() == 40 + 4 + 129 && message(Codec::int4, 129).size() == 40 + 4 + 65);
}

CASE("every single flipped bit is refused") {
  for (Codec codec : codecs) {
    const std::vector<uint8_t> good = message(codec, 300);
    CHECK(accepted(good));
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::vector<uint8_t> bad = good;
      bad[bit / 8] = static_cast<uint8_t>(bad[bit / 8] ^ 1u << (bit % 8));
      CHECK(!accepted(bad));
    }
  }
}

CASE("every cut and every tail is refused") {
  for (Codec codec : codecs) {
    const std::vector<uint8_t> good = message(codec, 200);
    for (size_t length = 0; length < good.size(); ++length) CHECK(!accepted({good.begin(), good.begin() + static_cast<ptrdiff_t>(length)}));
    std::vector<uint8_t> longer = good;
    longer.push_back(0);
    CHECK(!accepted(longer));
  }
}

CASE("the codes name the cause") {
  std::vector<float> out(300);
  std::vector<uint8_t> bytes = message(Codec::int8, 300);
  CHECK_THROWS(decode_update(bytes, std::span<float>(out).first(299)), E_SHAPE);
  bytes[100] ^= 1;
  CHECK_THROWS(decode_update(bytes, out), E_CHECKSUM);
  bytes[100] ^= 1, bytes[8] ^= 1;
  CHECK_THROWS(decode_update(bytes, out), E_CHECKSUM);
  bytes[8] ^= 1, bytes[4] = 3;
  CHECK_THROWS(decode_update(bytes, out), E_VERSION);
  bytes[4] = 1, bytes[0] = 'G';
  CHECK_THROWS(decode_update(bytes, out), E_FORMAT);
  bytes[0] = 'F';
  decode_update(bytes, out);
  const float untouched = out[0];
  bytes.pop_back();
  CHECK_THROWS(decode_update(bytes, out), E_FORMAT);
  CHECK(out[0] == untouched);
}

CASE("resealed forgeries: numbers that are not finite, negative scales, positions out of range, spare bits") {
  for (Codec codec : {Codec::f32, Codec::bf16}) {
    std::vector<uint8_t> bytes = message(codec, 5000);
    const size_t width = codec == Codec::f32 ? 4 : 2, at = 40 + 4999 * width;
    bytes[at + width - 1] = 0xff, bytes[at + width - 2] = 0x80;
    reseal(bytes);
    std::vector<float> out(5000);
    CHECK_THROWS(decode_update(bytes, out), E_NONFINITE);
  }
  for (Codec codec : {Codec::int8, Codec::int4})
    for (uint16_t scale : {0x7f80, 0x7fc0, 0x7f7f, 0x8001, 0xbf80}) {
      std::vector<uint8_t> bytes = message(codec, 5000);
      std::memcpy(bytes.data() + 40 + 6, &scale, 2);
      reseal(bytes);
      std::vector<float> out(5000);
      CHECK_THROWS(decode_update(bytes, out), E_FORMAT);
    }
  std::vector<uint8_t> odd = message(Codec::int4, 301);
  odd.back() |= 0x70;
  reseal(odd);
  CHECK(!accepted(odd));
  std::vector<uint8_t> sparse = message(Codec::topk, 5000);
  const uint16_t infinite = 0x7f80;
  std::memcpy(sparse.data() + 40, &infinite, 2);
  reseal(sparse);
  CHECK(!accepted(sparse));
  sparse = message(Codec::topk, 5000);
  const uint64_t fewer = 4000;  // the last positions are now beyond the end
  std::memcpy(sparse.data() + 8, &fewer, 8);
  reseal(sparse);
  CHECK(!accepted(sparse));
}

CASE("resealed headers: every field at its bounds") {
  const auto verdict = [](UpdateHeader header, std::vector<uint8_t> body) {
    std::vector<uint8_t> bytes(static_cast<size_t>(update_header_bytes));
    bytes.insert(bytes.end(), body.begin(), body.end());
    header.body_bytes = static_cast<int64_t>(body.size());
    write_header(header, bytes.data());
    reseal(bytes);
    return accepted(bytes);
  };
  const auto header = [](Codec codec, int bits, int parameter, int64_t count, int64_t sent) {
    UpdateHeader h;
    h.codec = codec, h.bits = bits, h.parameter = parameter, h.count = count, h.sent = sent;
    return h;
  };
  const std::vector<uint8_t> four(4), two(2), one_block(2 + 128);
  CHECK(verdict(header(Codec::f32, 32, 0, 1, 1), four) && verdict(header(Codec::bf16, 16, 0, 1, 1), two));
  CHECK(verdict(header(Codec::int8, 8, static_cast<int>(update_block_log2), 128, 128), one_block));
  // Bits, parameter, elements sent and body of dense codecs are what the codec says, exactly.
  CHECK(!verdict(header(Codec::f32, 31, 0, 1, 1), four) && !verdict(header(Codec::f32, 32, 1, 1, 1), four));
  CHECK(!verdict(header(Codec::f32, 32, 0, 1, 0), four) && !verdict(header(Codec::f32, 32, 0, 2, 1), four));
  CHECK(!verdict(header(Codec::f32, 32, 0, 1, 1), two) && !verdict(header(Codec::f32, 32, 0, 1, 1), std::vector<uint8_t>(8)));
  CHECK(!verdict(header(Codec::int8, 8, 0, 128, 128), one_block) && !verdict(header(Codec::bf16, 16, 7, 1, 1), two));
  // topk of one element in eight: two levels of bf16 each, a code of two bits, b bits of remainder, the quotient's one and its zeros.
  std::vector<uint8_t> sparse = {0x80, 0x3f, 0x00, 0x40, 0, 0, 1};
  CHECK(verdict(header(Codec::topk, 2, 3, 8, 1), sparse));
  for (int bits : {0, 1, 3, 16}) CHECK(!verdict(header(Codec::topk, bits, 3, 8, 1), sparse));
  CHECK(!verdict(header(Codec::topk, 2, 32, 8, 1), sparse));
  CHECK(!verdict(header(Codec::topk, 2, 3, 8, 9), sparse));  // more sent than there are
  sparse.push_back(0);
  CHECK(!verdict(header(Codec::topk, 2, 3, 8, 1), sparse));  // the last byte of the quotients holds a one
  // One quotient of 7 zeros needs a byte, one of 8 a second.
  CHECK(verdict(header(Codec::topk, 2, 0, 8, 1), {0x80, 0x3f, 0x00, 0x40, 0, 0x80}));
  CHECK(verdict(header(Codec::topk, 2, 0, 9, 1), {0x80, 0x3f, 0x00, 0x40, 0, 0, 1}));
  CHECK(!verdict(header(Codec::topk, 2, 0, 8, 1), {0x80, 0x3f, 0x00, 0x40, 0, 0, 1}));
  // As many ones among the quotients as elements are sent.
  CHECK(verdict(header(Codec::topk, 2, 0, 8, 2), {0x80, 0x3f, 0x00, 0x40, 0, 3}));
  CHECK(!verdict(header(Codec::topk, 2, 0, 8, 2), {0x80, 0x3f, 0x00, 0x40, 0, 1}));
  CHECK(!verdict(header(Codec::topk, 2, 0, 8, 2), {0x80, 0x3f, 0x00, 0x40, 0, 7}));
  // Nothing sent has no body; the most elements that a header may claim.
  CHECK(verdict(header(Codec::topk, 2, 31, update_max_elements, 0), {}) && !verdict(header(Codec::topk, 2, 31, 8, 0), {0}));
  CHECK(!verdict(header(Codec::topk, 2, 31, update_max_elements + 1, 0), {}));
}

CASE("fuzz: random edits, resealed or not, never crash a reader and never give what is not finite") {
  std::mt19937_64 random(20240229);
  int64_t taken = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> bytes = message(codecs[i % 9], random() % 400, 2 << (random() % 3), 0.3);
    const int edits = 1 + static_cast<int>(random() % 4);
    for (int e = 0; e < edits && !bytes.empty(); ++e) {
      const size_t at = random() % 3 ? random() % bytes.size() : random() % std::min<size_t>(bytes.size(), 40);
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<uint8_t>(random());
          break;
        case 1:
          bytes[at] = static_cast<uint8_t>(bytes[at] ^ 1u << (random() % 8));
          break;
        case 2:
          bytes.resize(at);
          break;
        default:
          bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(at), static_cast<uint8_t>(random()));
      }
    }
    if (random() % 4 != 0) {
      if (bytes.size() >= 40 && random() % 2) {
        const uint64_t body = bytes.size() - 40;
        std::memcpy(bytes.data() + 24, &body, 8);
      }
      reseal(bytes);
    }
    taken += accepted(bytes);
  }
  CHECK(taken > 100 && taken < 15000);  // the fuzz reaches past the checksums, and does not only make valid messages
}

CASE("a lying count does not make a reader allocate") {
  UpdateHeader header;
  header.codec = Codec::topk, header.bits = 2, header.count = update_max_elements;
  std::vector<uint8_t> bytes(40);
  write_header(header, bytes.data());
  reseal(bytes);
  CHECK(accepted(bytes));  // four thousand million zeros in 40 bytes: legal, and nothing dense is made of it
  header.codec = Codec::f32, header.bits = 32, header.sent = header.count;
  write_header(header, bytes.data());
  reseal(bytes);
  CHECK(!accepted(bytes));
  header.codec = Codec::topk, header.bits = 2, header.sent = 1'000'000'000;
  write_header(header, bytes.data());
  reseal(bytes);
  CHECK(!accepted(bytes));
}

CASE("messages that earlier builds wrote are read alike for ever") {
  struct Message {
    const char* hex;
    uint32_t values;
  };
  const Message messages[] = {
      {"464c555001002000050000000000000005000000000000001400000000000000e3da0862ae684319205f8d3a1ea5c9ba4999963a5c5f85b99427efba",
       0xe73d5f91},  // f32, version 1
      {"464c555001011000070000000000000007000000000000000e00000000000000c54cea89769c13468d3acaba973a85b9efba753b233c",
       0x86740506},  // bf16, version 1
      {"464c555001020807090000000000000009000000000000000b00000000000000e3ab840861859a06a5380eec0ffde92f7e0b00",
       0xd7afcb35},  // int8, version 1
      {"464c5550010304070f000000000000000f000000000000000a00000000000000a3de82796d443ce9bb3af1012f170010e600",
       0xca1ca0d4},  // int4, version 1
      {"464c555001040202c80000000000000019000000000000001a00000000000000c49838a4ae16a94ae83b133c55dc68e8d8d6013691e9b54d5a039a3375816051290"
       "5",
       0xfbe627f0},  // topk, version 1
      {"464c55500104040264000000000000000d000000000000001f0000000000000096e05db20f8d1bb9d53bee3bfd3b063c0c3c173c223c223c7744e1b382150836917"
       "5019a337101",
       0xa59e45ca},                                                                                                  // topk, version 1
      {"464c5550020501091e000000000000001e000000000000000600000000000000e302fab800049ce5443b1aa2d415", 0x66ed9db7},  // sign, version 2
      {"464c55500206040028000000000000000a000000000000001b00000000000000b00d7ffdad2a17c90b0000000000000001000000280000000a000000413a1fc0f61"
       "900",
       0xb0b0a260},  // randk, version 2
      {"464c55500207100228000000000000000c000000000000002c00000000000000845e0fb8b7c9a08e0b0000000000000001000000280000000300000036373cb9bb3"
       "7b13924b56c3ba1baa1bb22bc603ae93a2dba",
       0x2bc0854b},  // blocks, version 2
      {"464c555002081000170000000000000017000000000000003400000000000000dd602d000caa55d7020000000500000004000000010000000100000003000000000"
       "00000f4bd1cbf83ba0dbf0ebf17bc31bbcdbbb9b924b56c3ba1ba",
       0x1a2b999d},  // lowrank, version 2
  };
  for (const auto& [hex, expected] : messages) {
    const std::string text = hex;
    std::vector<uint8_t> bytes;
    for (size_t i = 0; i < text.size(); i += 2) bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
    std::vector<float> values(static_cast<size_t>(read_header(bytes).count));
    decode_update(bytes, values);
    CHECK(crc32c({reinterpret_cast<const uint8_t*>(values.data()), values.size() * 4}) == expected);
  }
}

CASE("a pool checks the same message") {
  ThreadPool pool(3);
  for (Codec codec : codecs) {
    std::vector<uint8_t> bytes = message(codec, 100003);
    UpdateReader(bytes, &pool);
    bytes[bytes.size() / 2] ^= 4;
    CHECK_THROWS(UpdateReader(bytes, &pool), E_CHECKSUM);
  }
}

CASE("dot, norm and cosine") {
  const std::vector<float> a = normal(10007, 1), b = normal(10007, 2);
  long double exact = 0;
  for (size_t i = 0; i < a.size(); ++i) exact += static_cast<long double>(a[i]) * b[i];
  CHECK_LE(std::fabs(dot(a, b) - static_cast<double>(exact)), 1e-15);
  CHECK_LE(std::fabs(cosine(a, a) - 1), 1e-15);
  CHECK(cosine(a, std::vector<float>(a.size())) == 0);
  CHECK_THROWS(dot(a, std::span<const float>(b).first(5)), E_SHAPE);
}

CASE("canary: a checksum of half the body misses a flipped bit in the other half") {
  std::vector<uint8_t> bytes = message(Codec::int8, 300);
  const auto half = [&] { return crc32c(std::span<const uint8_t>(bytes).subspan(40, 100)); };
  const uint32_t before = half(), whole = body_checksum(std::span<const uint8_t>(bytes).subspan(40));
  bytes[200] ^= 1;
  CHECK(half() == before && body_checksum(std::span<const uint8_t>(bytes).subspan(40)) != whole);
  reseal(bytes);
  CHECK(accepted(bytes));  // so it is the checksum that refuses a flipped code, nothing else
}

TEST_MAIN()
