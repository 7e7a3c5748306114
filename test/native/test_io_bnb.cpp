// Checkpoints of transformers + bitsandbytes: reading, writing, refusals.
#include <string>
#include <vector>

#include "base/philox.h"
#include "damaged_files.h"
#include "harness.h"
#include "io/bnb_checkpoint.h"
#include "io/json.h"
#include "io/matrix_reader.h"
#include "io/safetensors.h"
#include "memory_source.h"
#include "quant/encode.h"
#include "quant/four_bit.h"
#include "quant/nested.h"
#include "scratch_folder.h"

using namespace fedlora;

namespace {

const std::string models = FEDLORA_GOLDEN "/models/";

MemorySource source_of(const std::vector<NamedTensor>& named) {
  MemorySource source;
  for (const NamedTensor& tensor : named)
    source.add(tensor.spec.name, tensor.spec.dtype, tensor.spec.shape, tensor.data(), tensor_bytes(tensor.spec, "memory"));
  return source;
}

std::string text_of(const MemorySource::Tensor& tensor) { return {tensor.bytes.begin(), tensor.bytes.end()}; }
void set_text(MemorySource::Tensor& tensor, const std::string& text) {
  tensor.bytes.assign(text.begin(), text.end());
  tensor.shape = {static_cast<int64_t>(text.size())};
}
/// Replaces the one occurrence of `from` in the quant_state.
void edit(MemorySource& source, const std::string& from, const std::string& to) {
  MemorySource::Tensor& tensor = source.tensors.at("m.weight.quant_state.bitsandbytes__nf4");
  std::string text = text_of(tensor);
  CHECK(text.find(from) != std::string::npos);
  set_text(tensor, text.replace(text.find(from), from.size(), to));
}

std::vector<float> decode_all(const Matrix& matrix) {
  std::vector<float> numbers(static_cast<size_t>(matrix.elements()));
  decode(matrix, 0, matrix.elements(), numbers.data());
  return numbers;
}

Matrix sample(Format format, bool nested, int64_t N = 5, int64_t K = 77) {
  std::vector<float> numbers(static_cast<size_t>(N * K));
  const Philox draw{2, 0};
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = uniform_f32(draw(i)[0]) - 0.5f;
  ThreadPool pool(1);
  return encode_matrix(format, {DType::f32, {N, K}, numbers.data(), numbers.size() * 4}, 64, nested, pool);
}

/// The matrix that a golden quantised folder should hold, made from the plain folder and the stored offset.
Matrix encode_like(const Checkpoint& plain, const Checkpoint& quantised, const std::string& name, ThreadPool& pool) {
  const Format format = *bnb_format(quantised, name);
  if (format == Format::int8) return read_matrix(plain, name, format, 0, false, pool);
  Matrix matrix = read_matrix(plain, name, format, 64, false, pool);
  nest_absmax(matrix, read_bnb_matrix(quantised, name).nested_offset);
  return matrix;
}

}  // namespace

CASE("folders that transformers saved are reproduced byte for byte from the plain weights") {
  const ScratchFolder folder;
  ThreadPool pool(2);
  for (const char* family : {"llama", "qwen2"})
    for (const char* kind : {"nf4", "int8"}) {
      const std::string path = models + family + "-bnb-" + kind + "/model.safetensors";
      const SafetensorsFile plain(models + family + "/model.safetensors"), quantised(path);
      std::vector<Matrix> matrices;
      matrices.reserve(plain.names().size());
      std::vector<NamedTensor> tensors;
      int linears = 0;
      for (const std::string& name : plain.names()) {
        const TensorView view = plain.get(name);
        if (!is_bnb_quantized(quantised, name)) {
          tensors.push_back({{name, view.dtype, view.shape}, {}, view.data});
          continue;
        }
        ++linears;
        matrices.push_back(encode_like(plain, quantised, name, pool));
        for (NamedTensor& part : bnb_tensors(name, matrices.back(), view.dtype)) tensors.push_back(std::move(part));
      }
      sort_as_safetensors(tensors);
      write_safetensors(folder / "copy", tensors, {{"format", "pt"}});
      CHECK(linears == 14);
      CHECK(read_bytes(folder / "copy") == read_bytes(path));
    }
}

CASE("their weights decode to what the plain weights quantise to; our own offset is within 4 ulp") {
  ThreadPool pool(2);
  for (const char* kind : {"nf4", "int8"}) {
    const SafetensorsFile plain(models + "llama/model.safetensors"), quantised(models + "llama-bnb-" + kind + "/model.safetensors");
    for (const std::string& name : plain.names()) {
      if (!is_bnb_quantized(quantised, name)) continue;
      const Matrix stored = read_matrix(quantised, name, std::nullopt, 64, true, pool);
      const TensorView original = plain.get(name);
      CHECK(stored.N == original.shape[0] && stored.K == original.shape[1] && format_name(stored.format) == std::string(kind));
      CHECK(decode_all(stored) == decode_all(encode_like(plain, quantised, name, pool)));
      const Matrix own = read_matrix(plain, name, stored.format, 64, true, pool);
      const std::vector<float> a = decode_all(stored), b = decode_all(own);
      CHECK_LE(harness::relative_error(b.data(), a.data(), a.size()), 1e-6);
      CHECK_LE(std::fabs(own.nested_offset - stored.nested_offset), 4 * 0x1p-23 * std::fabs(stored.nested_offset));
    }
  }
}

CASE("what bnb_tensors gives is read back to the same matrix") {
  const auto judge = [](Format format, bool nested, int64_t N, int64_t K) {
    const Matrix matrix = sample(format, nested, N, K);
    const MemorySource source = source_of(bnb_tensors("m.weight", matrix, DType::bf16));
    CHECK(is_bnb_quantized(source, "m.weight") && !is_bnb_quantized(source, "m.bias") && !is_bnb_quantized(source, "n.weight"));
    CHECK(bnb_format(source, "m.weight") == format);
    CHECK(bnb_part_names(source, "m.weight").size() == source.tensors.size());
    const Matrix back = read_bnb_matrix(source, "m.weight");
    CHECK(back.N == N && back.K == K && back.nested() == matrix.nested() && back.nested_offset == matrix.nested_offset);
    CHECK(back.bytes() == matrix.bytes() && decode_all(back) == decode_all(matrix));
  };
  for (const Format format : {Format::nf4, Format::fp4, Format::int8})
    for (const bool nested : {false, true}) {
      judge(format, nested, 5, 77);
      judge(format, nested, 1, 77);
      judge(format, nested, 5, 1);
    }
  const Matrix plain = sample(Format::bf16, false);
  const std::vector<NamedTensor> tensors = bnb_tensors("m.weight", plain, DType::bf16);
  CHECK(tensors.size() == 1 && tensors[0].spec.dtype == DType::bf16 && tensors[0].spec.shape == (std::vector<int64_t>{5, 77}));
  CHECK_THROWS(bnb_tensors("m.weight", sample(Format::nf4, true), DType::i8), E_DTYPE);
  CHECK_THROWS(bnb_tensors("m", sample(Format::int8, false), DType::f16), E_ARGUMENT);
}

CASE("quant_storage: the same bytes under another dtype and shape") {
  const Matrix matrix = sample(Format::nf4, true, 4, 64);
  MemorySource source = source_of(bnb_tensors("m.weight", matrix, DType::bf16));
  source.tensors["m.weight"].dtype = DType::bf16;
  source.tensors["m.weight"].shape = {64, 1};
  CHECK(decode_all(read_bnb_matrix(source, "m.weight")) == decode_all(matrix));
  source.tensors["m.weight"].dtype = DType::f32;
  source.tensors["m.weight"].shape = {1, 32};
  CHECK(decode_all(read_bnb_matrix(source, "m.weight")) == decode_all(matrix));
}

CASE("read_matrix: keeps, decodes, refuses to quantise twice, and releases every part") {
  ThreadPool pool(2);
  const Matrix matrix = sample(Format::nf4, true);
  const MemorySource source = source_of(bnb_tensors("m.weight", matrix, DType::f32));
  CHECK(decode_all(read_matrix(source, "m.weight", std::nullopt, 0, false, pool)) == decode_all(matrix));
  CHECK(source.released.size() == 6);
  CHECK(read_matrix(source, "m.weight", Format::nf4, 128, false, pool).block == 64);
  const Matrix plain = read_matrix(source, "m.weight", Format::f32, 0, false, pool);
  CHECK(plain.format == Format::f32 && decode_all(plain) == decode_all(matrix));
  CHECK(read_matrix(source, "m.weight", Format::bf16, 0, false, pool).format == Format::bf16);
  for (const Format other : {Format::int8, Format::fp4})
    CHECK_THROWS(read_matrix(source, "m.weight", other, 64, true, pool), E_UNSUPPORTED);

  MemorySource halves;
  halves.tensors["w"] = {DType::f16, {2, 2}, {0, 0x3c, 0, 0x40, 0, 0x42, 0, 0x44}};
  const Matrix stored = read_matrix(halves, "w", std::nullopt, 0, false, pool);
  CHECK(stored.format == Format::f16 && decode_all(stored) == (std::vector<float>{1, 2, 3, 4}));
  halves.tensors["w"].bytes[1] = 0x7c;
  try {
    read_matrix(halves, "w", Format::nf4, 64, true, pool);
    CHECK(!"it threw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_NONFINITE && std::string(error.what()).find("tensor \"w\"") == 0);
  }
  halves.tensors["w"] = {DType::i64, {1, 1}, std::vector<uint8_t>(8)};
  CHECK_THROWS(read_matrix(halves, "w", std::nullopt, 0, false, pool), E_DTYPE);
  CHECK_THROWS(read_matrix(halves, "v", std::nullopt, 0, false, pool), E_MISSING);
}

CASE("a damaged 4-bit weight is refused with the right code") {
  const Matrix matrix = sample(Format::nf4, true);
  const MemorySource good = source_of(bnb_tensors("m.weight", matrix, DType::f32));
  read_bnb_matrix(good, "m.weight");
  const auto refuse = [&](Code code, const std::function<void(MemorySource&)>& damage) {
    MemorySource bad = good;
    damage(bad);
    try {
      read_bnb_matrix(bad, "m.weight");
      CHECK(!"it threw");
    } catch (const Error& error) {
      if (error.code() != code) std::printf("# %s, expected %s: %s\n", code_name(error.code()), code_name(code), error.what());
      CHECK(error.code() == code && std::string(error.what()).find("m.weight") != std::string::npos);
    }
  };
  const auto tensor = [](MemorySource& source, const char* part) -> MemorySource::Tensor& {
    return source.tensors.at(std::string("m.weight") + part);
  };
  for (const char* part : {".absmax", ".quant_map", ".nested_quant_map", ""})
    refuse(Code::E_MISSING, [&](MemorySource& s) { s.tensors.erase(std::string("m.weight") + part); });
  refuse(Code::E_DTYPE, [&](MemorySource& s) { s.tensors.erase("m.weight.nested_absmax"); });  // then absmax has to be F32
  for (const char* part : {".absmax", ".quant_map", ".nested_quant_map", ".nested_absmax"}) {
    refuse(Code::E_DTYPE, [&](MemorySource& s) { tensor(s, part).dtype = DType::i8; });
    refuse(Code::E_SHAPE, [&](MemorySource& s) {
      tensor(s, part).shape[0] -= 1;
      tensor(s, part).bytes.resize(tensor(s, part).bytes.size() - dtype_bytes(tensor(s, part).dtype));
    });
  }
  for (const char* part : {".quant_map", ".nested_quant_map"})
    refuse(Code::E_FORMAT, [&](MemorySource& s) { tensor(s, part).bytes[6] ^= 0x40; });
  for (const char* part : {".quant_map", ".nested_quant_map", ".nested_absmax"})
    refuse(Code::E_NONFINITE, [&](MemorySource& s) { tensor(s, part).bytes[3] = tensor(s, part).bytes[2] = 0xff; });
  refuse(Code::E_SHAPE, [&](MemorySource& s) {
    tensor(s, "").bytes.pop_back();
    tensor(s, "").shape[0] -= 1;
  });
  refuse(Code::E_SHAPE, [](MemorySource& s) { edit(s, "[5, 77]", "[5, 79]"); });
  refuse(Code::E_SHAPE, [](MemorySource& s) { edit(s, "[5, 77]", "[385]"); });
  refuse(Code::E_SHAPE, [](MemorySource& s) { edit(s, "[5, 77]", "[0, 77]"); });
  refuse(Code::E_SHAPE, [&](MemorySource& s) {  // nothing at all, and every part says so
    edit(s, "[5, 77]", "[0, 77]");
    for (const char* part : {"", ".absmax", ".nested_absmax"}) tensor(s, part).bytes.clear(), tensor(s, part).shape = {0};
  });
  refuse(Code::E_SHAPE, [](MemorySource& s) { edit(s, "[5, 77]", "[-5, -77]"); });
  refuse(Code::E_SHAPE, [](MemorySource& s) { edit(s, "[5, 77]", "[4611686018427387904, 4]"); });
  refuse(Code::E_FORMAT, [](MemorySource& s) { edit(s, "[5, 77]", "[5, 7.5]"); });
  refuse(Code::E_FORMAT, [](MemorySource& s) { edit(s, "\"nf4\"", "\"fp4\""); });
  refuse(Code::E_FORMAT, [](MemorySource& s) { edit(s, "\"shape\"", "\"shapes\""); });
  refuse(Code::E_FORMAT, [](MemorySource& s) { edit(s, "64", "\"64\""); });
  refuse(Code::E_FORMAT, [](MemorySource& s) { edit(s, "}", ""); });
  refuse(Code::E_UNSUPPORTED, [](MemorySource& s) { edit(s, "64", "4096"); });
  refuse(Code::E_UNSUPPORTED, [](MemorySource& s) { edit(s, "256", "128"); });
  refuse(Code::E_UNSUPPORTED, [](MemorySource& s) { edit(s, "\"nested_dtype\": \"float32\"", "\"nested_dtype\": \"float16\""); });
  refuse(Code::E_DTYPE, [](MemorySource& s) { edit(s, "\"dtype\": \"float32\"", "\"dtype\": \"int8\""); });
  refuse(Code::E_NONFINITE, [](MemorySource& s) { edit(s, "\"nested_offset\": ", "\"nested_offset\": 1e300, \"was\": "); });
}

CASE("a damaged int8 weight is refused with the right code") {
  const MemorySource good = source_of(bnb_tensors("m.weight", sample(Format::int8, false), DType::f16));
  MemorySource bad = good;
  bad.tensors.at("m.weight").dtype = DType::u8;
  CHECK_THROWS(read_bnb_matrix(bad, "m.weight"), E_DTYPE);
  bad = good;
  bad.tensors.at("m.weight").shape = {385};
  CHECK_THROWS(read_bnb_matrix(bad, "m.weight"), E_SHAPE);
  bad = good;
  bad.tensors.at("m.weight_format").bytes[0] = 2;
  CHECK_THROWS(read_bnb_matrix(bad, "m.weight"), E_UNSUPPORTED);
  bad.tensors.erase("m.weight_format");
  read_bnb_matrix(bad, "m.weight");
  bad.tensors.at("m.SCB").bytes.resize(16);
  bad.tensors.at("m.SCB").shape = {4};
  CHECK_THROWS(read_bnb_matrix(bad, "m.weight"), E_SHAPE);
  bad = good;
  bad.tensors.at("m.SCB").bytes[3] = bad.tensors.at("m.SCB").bytes[2] = 0xff;
  CHECK_THROWS(read_bnb_matrix(bad, "m.weight"), E_NONFINITE);
  bad.tensors.erase("m.SCB");
  CHECK_THROWS(read_bnb_matrix(bad, "m.weight"), E_FORMAT);
}

CASE("fuzz: random flips in the parts of a weight are refused with a code or decode without a crash") {
  const MemorySource good = source_of(bnb_tensors("m.weight", sample(Format::nf4, true, 3, 33), DType::f32));
  const Philox draw{12, 0};
  int accepted = 0;
  for (uint64_t round = 0; round < 20000; ++round) {
    MemorySource bad = good;
    const auto words = draw(round);
    auto part = bad.tensors.begin();
    std::advance(part, words[0] % bad.tensors.size());
    if (words[3] % 2 != 0) part = bad.tensors.find("m.weight.quant_state.bitsandbytes__nf4");
    std::vector<uint8_t>& bytes = part->second.bytes;
    bytes[words[1] % bytes.size()] ^= static_cast<uint8_t>(1u << (words[1] >> 29));
    bytes[words[2] % bytes.size()] ^= static_cast<uint8_t>(1u << (words[2] >> 29));
    try {
      const Matrix matrix = read_bnb_matrix(bad, "m.weight");
      CHECK(decode_all(matrix).size() == static_cast<size_t>(matrix.N * matrix.K));
      ++accepted;
    } catch (const Error& error) {
      CHECK(error.code() != Code::E_INTERNAL && error.code() != Code::E_MEMORY);
    }
  }
  CHECK(accepted > 0 && accepted < 20000);
}

CASE("canary: another weight, offset or dtype is another file") {
  const Matrix a = sample(Format::nf4, true);
  Matrix b = sample(Format::nf4, true);
  b.data[3] ^= 0x10;
  CHECK(decode_all(a) != decode_all(b));
  const std::string state = "m.weight.quant_state.bitsandbytes__nf4";
  const MemorySource x = source_of(bnb_tensors("m.weight", a, DType::f32)), y = source_of(bnb_tensors("m.weight", a, DType::f16));
  CHECK(text_of(x.tensors.at(state)) != text_of(y.tensors.at(state)));
}

TEST_MAIN()
