// Blocks of GGUF: the book and the decoders against what gguf-py and ggml made of the same bytes, bit for bit.
#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "base/philox.h"
#include "harness.h"
#include "io/safetensors.h"
#include "quant/encode.h"
#include "quant/ggml_blocks.h"
#include "quant/ggml_encode.h"
#include "quant/weight.h"
#include "ref/ggml_blocks_ref.h"

using namespace fedlora;

namespace {

constexpr DType blocked[] = {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0,
                             DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k};

std::string lower(std::string text) {
  for (char& letter : text) letter = static_cast<char>(std::tolower(letter));
  return text;
}

const SafetensorsFile& golden() {
  static const SafetensorsFile file(FEDLORA_GOLDEN "/gguf/blocks.safetensors");
  return file;
}

/// Contents that every type was made of.
std::vector<std::string> contents() {
  std::vector<std::string> names;
  for (const std::string& name : golden().names())
    if (name.ends_with(".input")) names.push_back(name.substr(0, name.size() - 6));
  return names;
}

bool equal_bits(const std::vector<float>& got, const TensorView& want) {
  return got.size() * sizeof(float) == want.bytes && std::memcmp(got.data(), want.data, want.bytes) == 0;
}

/// Random bytes as `blocks` blocks; half-precision scales among them are of any kind, infinite and NaN too.
std::vector<uint8_t> random_blocks(DType dtype, int blocks, uint64_t seed) {
  std::vector<uint8_t> bytes(static_cast<size_t>(blocks * dtype_traits(dtype).block_bytes));
  const Philox draw{seed, 0};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(draw(i / 4)[i % 4] >> 24);
  return bytes;
}

TensorView view_of(DType dtype, const std::vector<uint8_t>& bytes, int64_t N, int64_t K) {
  return {dtype, {N, K}, bytes.data(), bytes.size()};
}

}  // namespace

CASE("book: every number of every golden block has the bits of gguf-py and ggml") {
  int compared = 0;
  for (const std::string& content : contents())
    for (const DType dtype : blocked) {
      const std::string name = content + "." + lower(dtype_name(dtype));
      const TensorView bytes = golden().get(name + ".bytes"), want = golden().get(name + ".dequantized");
      const int64_t length = dtype_traits(dtype).block_elements, stride = dtype_traits(dtype).block_bytes;
      std::vector<float> got(static_cast<size_t>(want.elements()));
      for (int64_t i = 0; i < want.elements(); ++i)
        got[static_cast<size_t>(i)] =
            ref::block_element(dtype, static_cast<const uint8_t*>(bytes.data) + i / length * stride, static_cast<int>(i % length));
      if (!equal_bits(got, want)) harness::report(__FILE__, __LINE__, name + " differs");
      ++compared;
    }
  CHECK(compared == 70);
}

CASE("decoders: golden blocks bit for bit, whole and through load_weight; f16 and bf16 too") {
  for (const std::string& content : contents())
    for (const DType dtype : {DType::f16, DType::bf16, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k,
                              DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k}) {
      const std::string name = content + "." + lower(dtype_name(dtype));
      TensorView bytes = golden().get(name + ".bytes");
      const TensorView want = golden().get(name + ".dequantized");
      std::vector<float> got(static_cast<size_t>(want.elements()));
      if (is_blocked(dtype)) {
        decode_blocks(dtype, static_cast<const uint8_t*>(bytes.data), want.elements() / dtype_traits(dtype).block_elements, got.data());
        if (!equal_bits(got, want)) harness::report(__FILE__, __LINE__, name + " differs");
      }
      bytes.dtype = dtype;
      bytes.shape = want.shape;
      load_weight(bytes, 0, want.elements(), got.data());
      if (!equal_bits(got, want)) harness::report(__FILE__, __LINE__, name + " differs through load_weight");
    }
}

CASE("decoders: random bytes have the book's bits, NaN scales included") {
  for (const DType dtype : blocked) {
    constexpr int blocks = 300;
    const int length = dtype_traits(dtype).block_elements, stride = dtype_traits(dtype).block_bytes;
    const std::vector<uint8_t> bytes = random_blocks(dtype, blocks, 3);
    std::vector<float> got(static_cast<size_t>(blocks * length));
    decode_blocks(dtype, bytes.data(), blocks, got.data());
    int different = 0;
    for (int i = 0; i < blocks * length; ++i) {
      const float want = ref::block_element(dtype, bytes.data() + i / length * stride, i % length), is = got[static_cast<size_t>(i)];
      different += std::memcmp(&want, &is, sizeof want) != 0 && !(std::isnan(want) && std::isnan(is));
    }
    if (different > 0) harness::report(__FILE__, __LINE__, std::string(dtype_name(dtype)) + ": " + std::to_string(different) + " differ");
  }
}

CASE("any range of numbers, from inside a block into another; nothing is written beside it") {
  for (const DType dtype : blocked) {
    const int length = dtype_traits(dtype).block_elements, total = 3 * length;
    const std::vector<uint8_t> bytes = random_blocks(dtype, 3, 4);
    std::vector<float> whole(static_cast<size_t>(total));
    decode_blocks(dtype, bytes.data(), 3, whole.data());
    const int edges[] = {0, 1, length - 1, length, length + 7, 2 * length, 3 * length - 1, 3 * length};
    for (const int first : edges)
      for (const int end : edges) {
        if (end < first) continue;
        std::vector<float> part(static_cast<size_t>(end - first) + 2, 77.0f);
        decode_blocked(dtype, bytes.data(), first, end - first, part.data() + 1);
        CHECK(part.front() == 77.0f && part.back() == 77.0f);
        CHECK(std::memcmp(part.data() + 1, whole.data() + first, static_cast<size_t>(end - first) * sizeof(float)) == 0);
      }
  }
  CHECK_THROWS(decode_blocks(DType::f32, nullptr, 0, nullptr), E_INTERNAL);
}

CASE("a weight of blocks becomes any format as its float32 numbers would") {
  ThreadPool pool(2);
  for (const DType dtype : blocked) {
    const std::string name = "normal." + lower(dtype_name(dtype));
    TensorView stored = golden().get(name + ".bytes");
    const TensorView numbers = golden().get(name + ".dequantized");
    stored.dtype = dtype;
    stored.shape = numbers.shape;
    for (const Format format : {Format::f32, Format::bf16, Format::int8, Format::nf4}) {
      const Matrix got = encode_matrix(format, stored, 64, false, pool), want = encode_matrix(format, numbers, 64, false, pool);
      CHECK(got.data.size() == want.data.size() && std::memcmp(got.data.data(), want.data.data(), got.data.size()) == 0);
      CHECK(std::equal(got.absmax.begin(), got.absmax.end(), want.absmax.begin(), want.absmax.end()));
    }
  }
}

CASE("encoders: the bytes of ggml for every golden content; types that are not written are refused") {
  for (const std::string& content : contents()) {
    const TensorView input = golden().get(content + ".input");
    for (const DType dtype : {DType::f16, DType::bf16, DType::q8_0, DType::q4_0}) {
      const TensorView want = golden().get(content + "." + lower(dtype_name(dtype)) + ".bytes");
      std::vector<uint8_t> got(want.bytes);
      encode_ggml(dtype, static_cast<const float*>(input.data), input.elements(), got.data());
      if (std::memcmp(got.data(), want.data, want.bytes) != 0)
        harness::report(__FILE__, __LINE__, content + " as " + dtype_name(dtype) + " differs");
      CHECK(can_encode_ggml(dtype));
    }
    std::vector<uint8_t> plain(input.bytes);
    encode_ggml(DType::f32, static_cast<const float*>(input.data), input.elements(), plain.data());
    CHECK(std::memcmp(plain.data(), input.data, input.bytes) == 0);
  }
  CHECK(!can_encode_ggml(DType::q4_k) && !can_encode_ggml(DType::f64));
  CHECK_THROWS(encode_ggml(DType::q4_k, nullptr, 0, nullptr), E_DTYPE);
}

CASE("what is no weight of blocks: rows of half a block, too few bytes, scales that are not finite") {
  ThreadPool pool(1);
  std::vector<uint8_t> bytes(2 * 18);
  CHECK_THROWS(encode_matrix(Format::f32, view_of(DType::q4_0, bytes, 4, 16), 64, false, pool), E_SHAPE);
  CHECK_THROWS(encode_matrix(Format::f32, view_of(DType::q4_0, bytes, 3, 32), 64, false, pool), E_SHAPE);
  encode_matrix(Format::f32, view_of(DType::q4_0, bytes, 2, 32), 64, false, pool);
  bytes[18] = 0x00, bytes[19] = 0x7c;  // the second row's scale is infinite
  try {
    encode_matrix(Format::nf4, view_of(DType::q4_0, bytes, 2, 32), 64, false, pool);
    CHECK(!"it threw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_NONFINITE && std::string(error.what()).find("[1, 0]") != std::string::npos);
  }
}

CASE("canary: one bit more in a scale, a nibble or a high bit is another number") {
  for (const DType dtype : blocked) {
    const TensorView bytes = golden().get("normal." + lower(dtype_name(dtype)) + ".bytes");
    const int length = dtype_traits(dtype).block_elements, stride = dtype_traits(dtype).block_bytes;
    std::vector<uint8_t> block(static_cast<const uint8_t*>(bytes.data), static_cast<const uint8_t*>(bytes.data) + stride);
    std::vector<float> before(static_cast<size_t>(length)), after(before.size());
    decode_blocks(dtype, block.data(), 1, before.data());
    for (size_t place = 0; place < block.size(); ++place) {
      block[place] ^= 1;
      decode_blocks(dtype, block.data(), 1, after.data());
      CHECK(before != after);
      block[place] ^= 1;
    }
  }
}

TEST_MAIN()
