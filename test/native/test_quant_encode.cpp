// Encoders beyond the golden cases: refusals, plain formats, threads, unaligned input, the rules that the formats promise.
#include <bit>
#include <limits>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/philox.h"
#include "harness.h"
#include "quant/codebook.h"
#include "quant/encode.h"
#include "quant/nested.h"
#include "quant/packed.h"
#include "quant/random_matrix.h"
#include "quant/weight.h"

using namespace fedlora;

namespace {

constexpr Format all_formats[] = {Format::f32, Format::f16, Format::bf16, Format::int8, Format::nf4, Format::fp4};

std::vector<float> random_numbers(int64_t count, float scale, uint64_t seed = 1) {
  std::vector<float> numbers(static_cast<size_t>(count));
  const Philox draw{seed, 0};
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = (uniform_f32(draw(i)[0]) - 0.5f) * scale;
  return numbers;
}

TensorView view_of(const std::vector<float>& numbers, int64_t N, int64_t K) {
  return {DType::f32, {N, K}, numbers.data(), numbers.size() * sizeof(float)};
}

bool equal(const Matrix& a, const Matrix& b) {
  const auto same = [](const auto& x, const auto& y) {
    return x.bytes() == y.bytes() && (x.empty() || std::memcmp(x.data(), y.data(), x.bytes()) == 0);
  };
  return a.format == b.format && a.N == b.N && a.K == b.K && a.block == b.block && same(a.data, b.data) && same(a.absmax, b.absmax) &&
         same(a.nested_absmax, b.nested_absmax) && same(a.nested_scale, b.nested_scale) &&
         std::bit_cast<uint32_t>(a.nested_offset) == std::bit_cast<uint32_t>(b.nested_offset);
}

std::string message_of(const std::function<void()>& body, Code code) {
  try {
    body();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  CHECK(!"it threw");
  return "";
}

}  // namespace

CASE("a number that is not finite is refused with its index, in every format, type and place") {
  ThreadPool pool(2);
  const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
  for (const Format format : all_formats)
    for (const float value : bad)
      for (const int64_t place : {0, 63, 64, 100, 230}) {
        std::vector<float> numbers = random_numbers(231, 1.0f);
        numbers[static_cast<size_t>(place)] = value;
        const std::string text = message_of([&] { encode_matrix(format, view_of(numbers, 7, 33), 64, true, pool); }, Code::E_NONFINITE);
        CHECK(text.find(format_text("[%lld, %lld] (index %lld)", static_cast<long long>(place / 33), static_cast<long long>(place % 33),
                                    static_cast<long long>(place))) != std::string::npos);
        for (const DType dtype : {DType::f16, DType::bf16}) {
          std::vector<uint16_t> halves(231);
          for (size_t i = 0; i < 231; ++i) halves[i] = dtype == DType::f16 ? to_f16(numbers[i]).bits : to_bf16(numbers[i]).bits;
          const TensorView view{dtype, {7, 33}, halves.data(), 462};
          CHECK_THROWS(encode_matrix(format, view, 64, true, pool), E_NONFINITE);
        }
      }
}

CASE("numbers that overflow the format are refused, the largest ones that fit are kept") {
  ThreadPool pool(1);
  std::vector<float> numbers(64, 1.0f);
  numbers[5] = 65519.0f;
  for (const Format format : {Format::f16, Format::int8}) encode_matrix(format, view_of(numbers, 1, 64), 0, false, pool);
  numbers[5] = -65520.0f;
  for (const Format format : {Format::f16, Format::int8}) {
    const std::string text = message_of([&] { encode_matrix(format, view_of(numbers, 1, 64), 0, false, pool); }, Code::E_NONFINITE);
    CHECK(text.find("index 5") != std::string::npos && text.find("nf4") != std::string::npos);
  }
  numbers[5] = std::bit_cast<float>(0x7f7f7fffu);
  const Matrix kept = encode_matrix(Format::bf16, view_of(numbers, 1, 64), 0, false, pool);
  float back;
  decode(kept, 5, 1, &back);
  CHECK(std::isfinite(back));
  numbers[5] = std::bit_cast<float>(0x7f7f8000u);
  CHECK_THROWS(encode_matrix(Format::bf16, view_of(numbers, 1, 64), 0, false, pool), E_NONFINITE);
}

CASE("shapes, types, sizes and block sizes are checked at the door") {
  ThreadPool pool(1);
  const std::vector<float> numbers = random_numbers(128, 1.0f);
  for (const Format format : all_formats) {
    CHECK_THROWS(encode_matrix(format, {DType::f32, {128}, numbers.data(), 512}, 64, false, pool), E_SHAPE);
    CHECK_THROWS(encode_matrix(format, {DType::f32, {2, 0}, numbers.data(), 0}, 64, false, pool), E_SHAPE);
    CHECK_THROWS(encode_matrix(format, {DType::f32, {2, 64}, numbers.data(), 511}, 64, false, pool), E_SHAPE);
    CHECK_THROWS(encode_matrix(format, {DType::f32, {1ll << 62, 1ll << 62}, numbers.data(), 512}, 64, false, pool), E_SHAPE);
    CHECK_THROWS(encode_matrix(format, {DType::f32, {-2, -64}, numbers.data(), 512}, 64, false, pool), E_SHAPE);
    CHECK_THROWS(encode_matrix(format, {DType::i32, {2, 64}, numbers.data(), 512}, 64, false, pool), E_DTYPE);
  }
  for (const int block : {0, -64, 32, 63, 65, 256, 4096})
    for (const Format format : {Format::nf4, Format::fp4})
      CHECK_THROWS(encode_matrix(format, view_of(numbers, 2, 64), block, false, pool), E_ARGUMENT);
}

CASE("the result does not depend on the number of threads or the alignment of the input") {
  const int64_t N = 67, K = 1001;
  const std::vector<float> numbers = random_numbers(N * K, 0.3f);
  std::vector<uint8_t> shifted(numbers.size() * 4 + 1);
  std::memcpy(shifted.data() + 1, numbers.data(), numbers.size() * 4);
  ThreadPool one(1), four(4);
  for (const Format format : all_formats)
    for (const bool nested : {false, true}) {
      const Matrix expected = encode_matrix(format, view_of(numbers, N, K), 128, nested, one);
      CHECK(equal(expected, encode_matrix(format, view_of(numbers, N, K), 128, nested, four)));
      CHECK(equal(expected, encode_matrix(format, {DType::f32, {N, K}, shifted.data() + 1, numbers.size() * 4}, 128, nested, four)));
    }
}

CASE("plain formats: exact where they can be, else rounded to nearest even") {
  ThreadPool pool(2);
  const std::vector<float> numbers = random_numbers(70001, 3.0f);
  const TensorView view = view_of(numbers, 1, 70001);
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
    const Matrix matrix = encode_matrix(format, view, 0, true, pool);
    std::vector<float> back(numbers.size());
    decode(matrix, 0, 70001, back.data());
    for (size_t i = 0; i < numbers.size(); ++i) {
      const float half = format == Format::f16 ? to_f32(to_f16(numbers[i])) : to_f32(to_bf16(numbers[i]));
      const float want = format == Format::f32 ? numbers[i] : half;
      CHECK(back[i] == want);
    }
  }
}

CASE("f16 input: every finite bit pattern is read exactly, every other is refused") {
  ThreadPool pool(1);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const TensorView view{DType::f16, {1, 1}, &half, 2};
    if ((bits & 0x7c00) == 0x7c00) {
      if ((bits & 0x3ff) < 3) CHECK_THROWS(encode_matrix(Format::f32, view, 0, false, pool), E_NONFINITE);
      continue;
    }
    float back;
    decode(encode_matrix(Format::f32, view, 0, false, pool), 0, 1, &back);
    CHECK(std::bit_cast<uint32_t>(back) == std::bit_cast<uint32_t>(to_f32(f16{half})));
  }
}

CASE("4-bit: no other code is nearer, within the rounding of the scaled number") {
  ThreadPool pool(2);
  const std::vector<float> numbers = random_numbers(64 * 500 + 17, 2.0f, 5);
  const int64_t count = static_cast<int64_t>(numbers.size());
  for (const Format format : {Format::nf4, Format::fp4}) {
    const Matrix matrix = encode_matrix(format, view_of(numbers, 1, count), 64, false, pool);
    std::vector<float> back(numbers.size());
    decode(matrix, 0, count, back.data());
    double worst = 0;
    for (size_t i = 0; i < numbers.size(); ++i) {
      const double absmax = matrix.absmax[i / 64];
      double nearest = INFINITY;
      for (const float value : codebook_of(format)) nearest = std::min(nearest, std::fabs(numbers[i] - value * absmax));
      worst = std::max(worst, (std::fabs(static_cast<double>(numbers[i]) - back[i]) - nearest) / absmax);
    }
    CHECK_LE(worst, 4e-7);
  }
}

CASE("double quantisation moves a scale by at most half a step of the map plus the grid") {
  ThreadPool pool(1);
  const std::vector<float> numbers = random_numbers(64 * 1000, 2.0f, 9);
  const Matrix flat = encode_matrix(Format::nf4, view_of(numbers, 1000, 64), 64, false, pool);
  const Matrix nested = encode_matrix(Format::nf4, view_of(numbers, 1000, 64), 64, true, pool);
  CHECK(nested.nested() && nested.absmax.empty() && nested.nested_scale.size() == 4);
  double widest = 0;
  for (size_t i = 0; i + 1 < 256; ++i) widest = std::max(widest, static_cast<double>(dynamic_map[i + 1]) - dynamic_map[i]);
  for (int64_t b = 0; b < 1000; ++b) {
    const double allowed = (widest / 2 + 2.0 / 65535) * nested.nested_scale[static_cast<size_t>(b / 256)];
    CHECK_LE(std::fabs(block_absmax(nested, b) - block_absmax(flat, b)), allowed);
  }
  CHECK(flat.bytes() - nested.bytes() == 1000 * 3 - 4 * 4);
}

CASE("equal scales: the differences are zero and decode to the offset") {
  ThreadPool pool(1);
  std::vector<float> numbers(256, 0.5f);
  const Matrix matrix = encode_matrix(Format::nf4, view_of(numbers, 4, 64), 64, true, pool);
  for (int64_t b = 0; b < 4; ++b) CHECK(block_absmax(matrix, b) == 0.5f);
}

CASE("an all-zero weight stays zero in every format") {
  ThreadPool pool(1);
  const std::vector<float> numbers(130, 0.0f);
  for (const Format format : all_formats)
    for (const bool nested : {false, true}) {
      const Matrix matrix = encode_matrix(format, view_of(numbers, 10, 13), 64, nested, pool);
      std::vector<float> back(130, 1.0f);
      decode(matrix, 0, 130, back.data());
      for (const float value : back) CHECK(std::fabs(value) <= 1e-38f);
    }
}

CASE("int8 rounds its input to f16 first, subnormals included") {
  ThreadPool pool(1);
  for (const float scale : {1.0f, 1e-3f, 1e-5f, 1e-6f, 3e4f}) {
    const std::vector<float> numbers = random_numbers(512, scale, 11);
    std::vector<uint16_t> halves(512);
    for (size_t i = 0; i < 512; ++i) halves[i] = to_f16(numbers[i]).bits;
    const Matrix from_f32 = encode_matrix(Format::int8, view_of(numbers, 2, 256), 0, false, pool);
    const Matrix from_f16 = encode_matrix(Format::int8, {DType::f16, {2, 256}, halves.data(), 1024}, 0, false, pool);
    CHECK(equal(from_f32, from_f16));
  }
}

/// Numbers in [0, 1) with 24 bits: the high bits of i × 2654435761.
float scattered(size_t i) { return static_cast<float>(static_cast<uint32_t>(i * 2654435761u) >> 8) * 0x1p-24f; }

CASE("the mean of scales has torch's bits, on one thread") {
  // torch 2.13: (((i * 2654435761) % 2**32) >> 8).to(float32) * 2**-24, mean()
  const std::pair<size_t, float> means[] = {{1, 0x0.0p+0f},
                                            {5, 0x1.be889a0000000p-2f},
                                            {8, 0x1.a708a60000000p-2f},
                                            {17, 0x1.e50d520000000p-2f},
                                            {100, 0x1.f881b80000000p-2f},
                                            {255, 0x1.fe1d820000000p-2f},
                                            {257, 0x1.fd64f00000000p-2f},
                                            {1000, 0x1.fff9cc0000000p-2f},
                                            {4096, 0x1.0003960000000p-1f},
                                            {9217, 0x1.ffefd60000000p-2f},
                                            {20003, 0x1.fff8380000000p-2f},
                                            {32767, 0x1.fffd180000000p-2f},
                                            {50000, 0x1.fffdf80000000p-2f},
                                            {150001, 0x1.fffea20000000p-2f}};
  bool plain_sums_differ = false;
  for (const auto& [count, expected] : means) {
    Matrix matrix;
    matrix.absmax = AlignedBuffer<float>(count);
    float plain = 0;
    for (size_t i = 0; i < count; ++i) plain += matrix.absmax[i] = scattered(i);
    CHECK(std::bit_cast<uint32_t>(mean_absmax(matrix)) == std::bit_cast<uint32_t>(expected));
    plain_sums_differ |= plain / static_cast<float>(count) != expected;
  }
  CHECK(plain_sums_differ);  // canary: the order of the sum is seen
}

CASE("canary: the comparison of matrices sees one changed bit") {
  ThreadPool pool(1);
  const std::vector<float> numbers = random_numbers(256, 1.0f);
  const Matrix a = encode_matrix(Format::nf4, view_of(numbers, 4, 64), 64, true, pool);
  Matrix b = encode_matrix(Format::nf4, view_of(numbers, 4, 64), 64, true, pool);
  CHECK(equal(a, b));
  b.data[17] ^= 1;
  CHECK(!equal(a, b));
  b.data[17] ^= 1;
  b.nested_offset = std::nextafter(b.nested_offset, 1.0f);
  CHECK(!equal(a, b));
}

TEST_MAIN()

CASE("the size of a packed weight, asked before it exists, is the size of what the encoders and the random weights give") {
  ThreadPool pool(1);
  // bytes of [N, K] by hand: f32 4NK, 16 bits 2NK, int8 NK + 4N, 4 bits ⌈NK/2⌉ + 4b flat, + b + 4⌈b/256⌉ nested, b = ⌈NK/block⌉
  const auto by_hand = [](Format format, size_t N, size_t K, size_t block, bool nested) {
    const size_t blocks = (N * K + block - 1) / block;
    if (format == Format::f32) return 4 * N * K;
    if (format == Format::int8) return N * K + 4 * N;
    if (!is_4bit(format)) return 2 * N * K;
    return (N * K + 1) / 2 + (nested ? blocks + 4 * ((blocks + 255) / 256) : 4 * blocks);
  };
  RandomWords words(1);
  for (const auto& [N, K] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {7, 9}, {8, 8}, {5, 13}, {64, 256}, {129, 257}, {3, 33}})
    for (const Format format : all_formats)
      for (const int block : {64, 128})
        for (const bool nested : {false, true}) {
          const std::vector<float> numbers = random_numbers(N * K, 1.0f);
          const Matrix encoded = encode_matrix(format, view_of(numbers, N, K), block, nested, pool);
          const Matrix random = random_matrix(words, format, N, K, block, nested);
          const size_t bytes = packed_bytes(format, N, K, block, nested);
          CHECK(bytes == by_hand(format, static_cast<size_t>(N), static_cast<size_t>(K), static_cast<size_t>(block), nested));
          CHECK(bytes == encoded.bytes());
          CHECK(bytes == random.bytes());
          CHECK(random.block == encoded.block && random.nested() == encoded.nested());
        }
  for (const auto& [N, K] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {1, 0}, {-1, 1}, {1, -1}, {int64_t{1} << 30, int64_t{1} << 29}})
    message_of([&, N = N, K = K] { packed_bytes(Format::f32, N, K, 64, false); }, Code::E_SHAPE);
  CHECK(packed_bytes(Format::bf16, int64_t{1} << 29, int64_t{1} << 29, 64, false) == size_t{1} << 59);
}
