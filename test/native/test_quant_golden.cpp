// Encoders and decoders against the bytes of bitsandbytes: every case of golden/quant/blocks.safetensors.
#include <algorithm>
#include <string>
#include <vector>

#include "harness.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "quant/codebook.h"
#include "quant/encode.h"
#include "quant/four_bit.h"
#include "quant/int8.h"
#include "quant/nested.h"

using namespace fedlora;

namespace {

const SafetensorsFile& golden() {
  static const SafetensorsFile file(FEDLORA_GOLDEN "/quant/blocks.safetensors");
  return file;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& [key, text] : golden().metadata()) {
    if (key != "cases") continue;
    const Json cases = parse_json(text, "cases");
    for (const auto& [name, description] : cases.as_object("cases")) names.push_back(name);
  }
  return names;
}

/// A one-dimensional weight is one row.
TensorView input_of(const std::string& name) {
  TensorView view = golden().get(name + ".input");
  if (view.shape.size() == 1) view.shape.insert(view.shape.begin(), 1);
  return view;
}

bool same_bytes(const void* got, size_t bytes, const TensorView& want) {
  return bytes == want.bytes && std::memcmp(got, want.data, bytes) == 0;
}

std::vector<float> floats(const TensorView& view) {
  std::vector<float> values(view.bytes / 4);
  std::memcpy(values.data(), view.data, view.bytes);
  return values;
}

/// Equal as numbers: +0 and −0 are the same, nothing else is.
bool same_numbers(const std::vector<float>& got, const std::vector<float>& want) {
  return got.size() == want.size() && std::equal(got.begin(), got.end(), want.begin());
}

std::vector<float> decode_all(const Matrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.elements()));
  decode(matrix, 0, matrix.elements(), values.data());
  return values;
}

/// Blocks run over the flattened tensor, whatever the row length. bitsandbytes 0.50's AVX-512 decoder instead takes the scale at
/// row · ⌊K / block⌋ + ⌊k / block⌋ when 16 divides K, which is another block as soon as there are rows and K is no multiple of the
/// block size. Its encoder, scalar decoder and CUDA decoder are flat. Where they differ, the truth is built from golden codes and scales.
bool flat_decoder(const TensorView& input, int block) {
  return input.shape[0] == 1 || input.shape[1] % block == 0 || input.shape[1] % 16 != 0;
}

std::vector<float> expected_numbers(const std::string& key, const TensorView& input, Format format, int block, bool nested) {
  if (flat_decoder(input, block)) return floats(golden().get(key + (nested ? ".nested.dequantized" : ".dequantized")));
  const TensorView packed = golden().get(key + ".packed");
  const std::vector<float> map = floats(golden().get(std::string("quant_map.") + format_name(format)));
  std::vector<float> absmax = floats(golden().get(key + ".absmax"));
  if (nested) {
    const std::vector<float> dynamic = floats(golden().get("quant_map.dynamic"));
    const std::vector<float> scale = floats(golden().get(key + ".nested.nested_absmax"));
    const uint8_t* codes = static_cast<const uint8_t*>(golden().get(key + ".nested.absmax").data);
    for (size_t b = 0; b < absmax.size(); ++b) absmax[b] = dynamic[codes[b]] * scale[b / 256];
    for (float& value : absmax) value += floats(golden().get(key + ".nested.nested_offset"))[0];
  }
  std::vector<float> numbers(static_cast<size_t>(input.elements()));
  for (size_t i = 0; i < numbers.size(); ++i) {
    const uint8_t byte = static_cast<const uint8_t*>(packed.data)[i / 2];
    numbers[i] = map[i % 2 ? byte & 15 : byte >> 4] * absmax[i / static_cast<size_t>(block)];
  }
  return numbers;
}

struct Variant {
  std::string key;
  Format format;
  int block;
};

std::vector<Variant> variants(const std::string& name) {
  std::vector<Variant> all;
  for (const Format format : {Format::nf4, Format::fp4})
    for (const int block : {64, 128}) all.push_back({name + "." + format_name(format) + "." + std::to_string(block), format, block});
  return all;
}

}  // namespace

CASE("the value maps are those of bitsandbytes, bit for bit") {
  CHECK(same_bytes(nf4_codebook.data(), sizeof nf4_codebook, golden().get("quant_map.nf4")));
  CHECK(same_bytes(fp4_codebook.data(), sizeof fp4_codebook, golden().get("quant_map.fp4")));
  CHECK(same_bytes(dynamic_map.data(), sizeof dynamic_map, golden().get("quant_map.dynamic")));
}

CASE("the golden file holds the cases that this test is about") {
  const std::vector<std::string> names = case_names();
  for (const char* name : {"plain", "plain-bf16", "plain-f16", "outliers-zeros", "odd", "vector", "ties", "large"})
    CHECK(std::find(names.begin(), names.end(), name) != names.end());
}

CASE("nf4 and fp4: codes, scales and decoded numbers equal bitsandbytes', for any number of threads") {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const std::string& name : case_names())
      for (const Variant& v : variants(name)) {
        const Matrix matrix = encode_matrix(v.format, input_of(name), v.block, false, pool);
        const bool data = same_bytes(matrix.data.data(), matrix.data.bytes(), golden().get(v.key + ".packed"));
        const bool absmax = same_bytes(matrix.absmax.data(), matrix.absmax.bytes(), golden().get(v.key + ".absmax"));
        const bool decoded = same_numbers(decode_all(matrix), expected_numbers(v.key, input_of(name), v.format, v.block, false));
        if (!data || !absmax || !decoded) std::printf("# %s: data %d absmax %d decoded %d\n", v.key.c_str(), data, absmax, decoded);
        CHECK(data && absmax && decoded);
      }
  }
}

CASE("double quantisation: offset, codes, scales and numbers are equal") {
  ThreadPool pool(2);
  for (const std::string& name : case_names())
    for (const Variant& v : variants(name)) {
      const float offset = floats(golden().get(v.key + ".nested.nested_offset"))[0];
      const Matrix matrix = encode_matrix(v.format, input_of(name), v.block, true, pool);
      CHECK(std::bit_cast<uint32_t>(matrix.nested_offset) == std::bit_cast<uint32_t>(offset));
      const bool codes = same_bytes(matrix.nested_absmax.data(), matrix.nested_absmax.bytes(), golden().get(v.key + ".nested.absmax"));
      const bool scale = same_bytes(matrix.nested_scale.data(), matrix.nested_scale.bytes(), golden().get(v.key + ".nested.nested_absmax"));
      const bool decoded = same_numbers(decode_all(matrix), expected_numbers(v.key, input_of(name), v.format, v.block, true));
      if (!codes || !scale || !decoded) std::printf("# %s: codes %d scale %d decoded %d\n", v.key.c_str(), codes, scale, decoded);
      CHECK(codes && scale && decoded);
    }
}

CASE("the decoded numbers of bitsandbytes are used wherever its decoders agree") {
  int flat = 0, other = 0;
  for (const std::string& name : case_names())
    for (const Variant& v : variants(name)) {
      if (flat_decoder(input_of(name), v.block)) {
        ++flat;
        continue;
      }
      ++other;
      const std::vector<float> expected = expected_numbers(v.key, input_of(name), v.format, v.block, false);
      CHECK(!same_numbers(expected, floats(golden().get(v.key + ".dequantized"))));
    }
  CHECK(flat == 26 && other == 6);
}

CASE("int8: codes, scales and decoded numbers equal bitsandbytes'") {
  ThreadPool pool(2);
  int compared = 0;
  for (const std::string& name : case_names()) {
    if (!golden().has(name + ".int8.data")) continue;
    ++compared;
    const Matrix matrix = encode_matrix(Format::int8, input_of(name), 0, false, pool);
    const bool data = same_bytes(matrix.data.data(), matrix.data.bytes(), golden().get(name + ".int8.data"));
    const bool scb = same_bytes(matrix.absmax.data(), matrix.absmax.bytes(), golden().get(name + ".int8.scb"));
    // A row of zeros: bitsandbytes' own arithmetic gives 0 × 0 / 127 there as well.
    const bool decoded = same_numbers(decode_all(matrix), floats(golden().get(name + ".int8.dequantized")));
    if (!data || !scb || !decoded) std::printf("# %s: data %d scb %d decoded %d\n", name.c_str(), data, scb, decoded);
    CHECK(data && scb && decoded);
  }
  CHECK(compared == 7);
}

CASE("any range decodes to the same numbers as the whole") {
  ThreadPool pool(1);
  for (const Format format : {Format::f32, Format::f16, Format::bf16, Format::int8, Format::nf4, Format::fp4})
    for (const bool nested : {false, true}) {
      const Matrix matrix = encode_matrix(format, input_of("odd"), 64, nested, pool);
      const std::vector<float> whole = decode_all(matrix);
      for (int64_t first : {0, 1, 63, 64, 65, 200, 231})
        for (int64_t count : {0, 1, 2, 31, 32, 100}) {
          if (first + count > matrix.elements()) {
            float out[128];
            CHECK_THROWS(decode(matrix, first, count, out), E_ARGUMENT);
            continue;
          }
          std::vector<float> part(static_cast<size_t>(count) + 1, -7.0f);
          decode(matrix, first, count, part.data());
          CHECK(part.back() == -7.0f);
          part.pop_back();
          CHECK(same_numbers(part, {whole.begin() + first, whole.begin() + first + count}));
        }
      float out[1];
      CHECK_THROWS(decode(matrix, -1, 1, out), E_ARGUMENT);
      CHECK_THROWS(decode(matrix, 0, -1, out), E_ARGUMENT);
    }
}

CASE("canary: one changed input element, code or scale is noticed") {
  ThreadPool pool(1);
  TensorView input = input_of("plain");
  std::vector<uint8_t> changed(static_cast<const uint8_t*>(input.data), static_cast<const uint8_t*>(input.data) + input.bytes);
  float element;
  std::memcpy(&element, changed.data() + 4 * 1000, 4);
  element = -element;
  std::memcpy(changed.data() + 4 * 1000, &element, 4);
  input.data = changed.data();
  const Matrix matrix = encode_matrix(Format::nf4, input, 64, false, pool);
  CHECK(!same_bytes(matrix.data.data(), matrix.data.bytes(), golden().get("plain.nf4.64.packed")));
  CHECK(!same_numbers(decode_all(matrix), floats(golden().get("plain.nf4.64.dequantized"))));
  Matrix nested = encode_4bit(Format::nf4, input_of("plain"), 64, pool);
  const float offset = floats(golden().get("plain.nf4.64.nested.nested_offset"))[0];
  nest_absmax(nested, offset * 1.01f);
  CHECK(!same_bytes(nested.nested_absmax.data(), nested.nested_absmax.bytes(), golden().get("plain.nf4.64.nested.absmax")));
  const Matrix wrong = encode_matrix(Format::int8, input, 0, false, pool);
  CHECK(!same_bytes(wrong.data.data(), wrong.data.bytes(), golden().get("plain.int8.data")));
}

TEST_MAIN()
