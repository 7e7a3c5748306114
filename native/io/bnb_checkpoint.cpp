#include "io/bnb_checkpoint.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "io/json.h"
#include "quant/codebook.h"
#include "quant/packed.h"
#include "quant/plain.h"

namespace fedlora {

namespace {

constexpr Format four_bit_formats[] = {Format::nf4, Format::fp4};

std::string state_name(const std::string& weight_name, Format format) {
  return weight_name + ".quant_state.bitsandbytes__" + format_name(format);
}

/// "<p>.weight" → "<p>"; other names have no siblings of this kind.
bool module_of(const std::string& weight_name, std::string& module) {
  constexpr std::string_view ending = ".weight";
  if (weight_name.size() <= ending.size() || !weight_name.ends_with(ending)) return false;
  module = weight_name.substr(0, weight_name.size() - ending.size());
  return true;
}

bool has_scb(const TensorSource& source, const std::string& weight_name, std::string& module) {
  return module_of(weight_name, module) && source.has(module + ".SCB");
}

const char* torch_name(DType dtype) {
  if (dtype == DType::f32) return "float32";
  if (dtype == DType::f16) return "float16";
  if (dtype == DType::bf16) return "bfloat16";
  fail(Code::E_DTYPE, "the original dtype of a quantised weight is %s, expected F32, F16 or BF16.", dtype_name(dtype));
}

TensorView expect(const TensorSource& source, const std::string& name, DType dtype, int64_t elements) {
  const TensorView view = source.get(name);
  if (view.dtype != dtype)
    fail(Code::E_DTYPE, "tensor \"%s\" has dtype %s, expected %s.", name.c_str(), dtype_name(view.dtype), dtype_name(dtype));
  if (view.elements() != elements)
    fail(Code::E_SHAPE, "tensor \"%s\" has %lld elements, expected %lld for the shape of its weight. The checkpoint is damaged.",
         name.c_str(), static_cast<long long>(view.elements()), static_cast<long long>(elements));
  return view;
}

template <class T>
AlignedBuffer<T> copy(const TensorView& view) {
  AlignedBuffer<T> buffer(view.bytes / sizeof(T));
  if (view.bytes > 0) std::memcpy(buffer.data(), view.data, view.bytes);
  return buffer;
}

AlignedBuffer<float> read_scales(const TensorSource& source, const std::string& name, int64_t elements) {
  AlignedBuffer<float> scales = copy<float>(expect(source, name, DType::f32, elements));
  for (size_t i = 0; i < scales.size(); ++i)
    if (!std::isfinite(scales[i]))
      fail(Code::E_NONFINITE, "element %zu of \"%s\" is not finite. The checkpoint is damaged; get it anew.", i, name.c_str());
  return scales;
}

/// A stored value map must be ours. Other builds of torch round linspace differently in the last bits, hence a few ulp.
template <size_t count>
void check_map(const TensorSource& source, const std::string& name, const std::array<float, count>& expected) {
  const AlignedBuffer<float> map = read_scales(source, name, count);
  for (size_t i = 0; i < count; ++i)
    if (!(std::fabs(map[i] - expected[i]) <= 0x1p-21f * std::fabs(expected[i])))
      fail(Code::E_FORMAT, "entry %zu of \"%s\" is %.9g, expected %.9g, the value of bitsandbytes. Quantise the original weights anew.", i,
           name.c_str(), static_cast<double>(map[i]), static_cast<double>(expected[i]));
}

const Json& field(const Json& state, const char* key, const std::string& name) {
  const Json* found = state.find(key);
  if (found == nullptr) fail(Code::E_FORMAT, "\"%s\" has no field \"%s\". The checkpoint is damaged.", name.c_str(), key);
  return *found;
}

std::string label(const char* key, const std::string& name) { return format_text("field \"%s\" of \"%s\"", key, name.c_str()); }
int64_t int_field(const Json& state, const char* key, const std::string& name) {
  return field(state, key, name).as_int64(label(key, name).c_str());
}
const std::string& text_field(const Json& state, const char* key, const std::string& name) {
  return field(state, key, name).as_string(label(key, name).c_str());
}

void read_nested(const TensorSource& source, const std::string& weight_name, const Json& state, const std::string& name, Matrix& matrix) {
  const int64_t group = int_field(state, "nested_blocksize", name);
  if (group != nested_block)
    fail(Code::E_UNSUPPORTED, "%s is %lld, expected %d.", label("nested_blocksize", name).c_str(), static_cast<long long>(group),
         nested_block);
  if (text_field(state, "nested_dtype", name) != "float32")
    fail(Code::E_UNSUPPORTED, "%s is not \"float32\".", label("nested_dtype", name).c_str());
  const double offset = field(state, "nested_offset", name).as_double(label("nested_offset", name).c_str());
  matrix.nested_offset = static_cast<float>(offset);
  if (!std::isfinite(matrix.nested_offset)) fail(Code::E_NONFINITE, "%s is beyond float32.", label("nested_offset", name).c_str());
  check_map(source, weight_name + ".nested_quant_map", dynamic_map);
  const PackedSizes sizes = packed_sizes(matrix.format, matrix.N, matrix.K, matrix.block, true);
  matrix.nested_absmax = copy<uint8_t>(expect(source, weight_name + ".absmax", DType::u8, static_cast<int64_t>(sizes.nested_absmax)));
  matrix.nested_scale = read_scales(source, weight_name + ".nested_absmax", static_cast<int64_t>(sizes.nested_scale));
}

Matrix read_4bit(const TensorSource& source, const std::string& weight_name, Format format) {
  const std::string name = state_name(weight_name, format);
  const TensorView text = source.get(name);
  const Json state = parse_json({static_cast<const char*>(text.data), text.bytes}, name);
  const std::string& type = text_field(state, "quant_type", name);
  if (type != format_name(format))
    fail(Code::E_FORMAT, "%s is \"%s\", expected \"%s\".", label("quant_type", name).c_str(), type.c_str(), format_name(format));
  const std::string& dtype = text_field(state, "dtype", name);
  if (dtype != "float32" && dtype != "float16" && dtype != "bfloat16")
    fail(Code::E_DTYPE, "%s is \"%s\", expected float32, float16 or bfloat16.", label("dtype", name).c_str(), dtype.c_str());
  const int64_t block = int_field(state, "blocksize", name);
  if (block != 64 && block != 128)
    fail(Code::E_UNSUPPORTED, "%s is %lld, expected 64 or 128. Quantise the original weights with one of these.",
         label("blocksize", name).c_str(), static_cast<long long>(block));

  const std::string shape_label = label("shape", name);
  const std::vector<Json>& shape = field(state, "shape", name).as_array(shape_label.c_str());
  if (shape.size() != 2) fail(Code::E_SHAPE, "%s has %zu extents, expected 2.", shape_label.c_str(), shape.size());
  Matrix matrix;
  matrix.format = format;
  matrix.N = shape[0].as_int64(shape_label.c_str());
  matrix.K = shape[1].as_int64(shape_label.c_str());
  matrix.block = static_cast<int>(block);
  const TensorView codes = source.get(weight_name);  // any dtype: quant_storage only renames the bytes
  const uint64_t most = 2 * static_cast<uint64_t>(codes.bytes);
  if (matrix.N < 1 || matrix.K < 1 || static_cast<uint64_t>(matrix.N) > most / static_cast<uint64_t>(matrix.K) ||
      static_cast<uint64_t>(matrix.elements() + 1) / 2 != codes.bytes)
    fail(Code::E_SHAPE, "tensor \"%s\" has %zu bytes, which does not fit the [%lld, %lld] of its quant_state at two codes a byte.",
         weight_name.c_str(), codes.bytes, static_cast<long long>(matrix.N), static_cast<long long>(matrix.K));
  matrix.data = copy<uint8_t>(codes);
  check_map(source, weight_name + ".quant_map", codebook_of(format));
  if (source.has(weight_name + ".nested_absmax"))
    read_nested(source, weight_name, state, name, matrix);
  else
    matrix.absmax = read_scales(source, weight_name + ".absmax", matrix.blocks());
  return matrix;
}

Matrix read_int8(const TensorSource& source, const std::string& weight_name) {
  std::string module;
  module_of(weight_name, module);
  const TensorView codes = source.get(weight_name);
  if (codes.dtype != DType::i8)
    fail(Code::E_DTYPE, "tensor \"%s\" has dtype %s beside \"%s.SCB\", expected I8.", weight_name.c_str(), dtype_name(codes.dtype),
         module.c_str());
  if (codes.shape.size() != 2 || codes.shape[0] < 1 || codes.shape[1] < 1)
    fail(Code::E_SHAPE, "tensor \"%s\" has %zu dimensions or is empty, expected [out_features, in_features].", weight_name.c_str(),
         codes.shape.size());
  const std::string format_tensor = module + ".weight_format";
  if (source.has(format_tensor)) {
    const TensorView layout = expect(source, format_tensor, DType::u8, 1);
    const int value = *static_cast<const uint8_t*>(layout.data);
    if (value != 0)
      fail(Code::E_UNSUPPORTED, "tensor \"%s\" is %d, expected 0 (row-major). Save the model anew with a current bitsandbytes.",
           format_tensor.c_str(), value);
  }
  Matrix matrix;
  matrix.format = Format::int8;
  matrix.N = codes.shape[0];
  matrix.K = codes.shape[1];
  matrix.data = copy<uint8_t>(codes);
  matrix.absmax = read_scales(source, module + ".SCB", matrix.N);
  return matrix;
}

NamedTensor borrow(std::string name, DType dtype, std::vector<int64_t> shape, const void* data) {
  return {{std::move(name), dtype, std::move(shape)}, {}, data};
}

std::string state_text(const Matrix& matrix, DType original_dtype) {
  std::string text =
      format_text("{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%lld, %lld]", format_name(matrix.format),
                  matrix.block, torch_name(original_dtype), static_cast<long long>(matrix.N), static_cast<long long>(matrix.K));
  if (matrix.nested())
    text += format_text(", \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", \"nested_offset\": %s", nested_block,
                        json_number(static_cast<double>(matrix.nested_offset)).c_str());
  return text + "}";
}

}  // namespace

std::optional<Format> bnb_format(const TensorSource& source, const std::string& weight_name) {
  std::string module;
  for (const Format format : four_bit_formats)
    if (source.has(state_name(weight_name, format))) return format;
  if (has_scb(source, weight_name, module)) return Format::int8;
  return std::nullopt;
}

bool is_bnb_quantized(const TensorSource& source, const std::string& weight_name) { return bnb_format(source, weight_name).has_value(); }

std::string bnb_weight_of(const std::string& part_name) {
  for (const std::string_view ending :
       {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"})
    if (part_name.ends_with(ending)) return part_name.substr(0, part_name.size() - ending.size());
  for (const std::string_view ending : {".SCB", ".weight_format"})
    if (part_name.ends_with(ending)) return part_name.substr(0, part_name.size() - ending.size()) + ".weight";
  return "";
}

std::vector<std::string> bnb_part_names(const TensorSource& source, const std::string& weight_name) {
  std::vector<std::string> candidates, parts = {weight_name};
  for (const Format format : four_bit_formats) candidates.push_back(state_name(weight_name, format));
  for (const char* part : {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"}) candidates.push_back(weight_name + part);
  std::string module;
  if (has_scb(source, weight_name, module)) candidates.insert(candidates.end(), {module + ".SCB", module + ".weight_format"});
  for (const std::string& name : candidates)
    if (source.has(name)) parts.push_back(name);
  return parts;
}

Matrix read_bnb_matrix(const TensorSource& source, const std::string& weight_name) {
  const std::optional<Format> format = bnb_format(source, weight_name);
  if (!format)
    fail(Code::E_FORMAT, "tensor \"%s\" has neither a quant_state nor an SCB beside it: it is not stored as bitsandbytes codes.",
         weight_name.c_str());
  return is_4bit(*format) ? read_4bit(source, weight_name, *format) : read_int8(source, weight_name);
}

std::vector<NamedTensor> bnb_tensors(const std::string& weight_name, const Matrix& matrix, DType original_dtype) {
  std::vector<NamedTensor> tensors;
  if (matrix.format == Format::int8) {
    std::string module;
    if (!module_of(weight_name, module)) fail(Code::E_ARGUMENT, "\"%s\" is not named <module>.weight.", weight_name.c_str());
    tensors.push_back(borrow(weight_name, DType::i8, {matrix.N, matrix.K}, matrix.data.data()));
    tensors.push_back(borrow(module + ".SCB", DType::f32, {matrix.N}, matrix.absmax.data()));
    tensors.push_back({{module + ".weight_format", DType::u8, {}}, {0}, nullptr});
    return tensors;
  }
  if (!is_4bit(matrix.format)) {
    tensors.push_back(borrow(weight_name, dtype_of(matrix.format), {matrix.N, matrix.K}, matrix.data.data()));
    return tensors;
  }
  tensors.push_back(borrow(weight_name, DType::u8, {(matrix.elements() + 1) / 2, 1}, matrix.data.data()));
  tensors.push_back(borrow(weight_name + ".quant_map", DType::f32, {16}, codebook_of(matrix.format).data()));
  if (matrix.nested()) {
    tensors.push_back(borrow(weight_name + ".absmax", DType::u8, {matrix.blocks()}, matrix.nested_absmax.data()));
    const int64_t groups = static_cast<int64_t>(matrix.nested_scale.size());
    tensors.push_back(borrow(weight_name + ".nested_absmax", DType::f32, {groups}, matrix.nested_scale.data()));
    tensors.push_back(borrow(weight_name + ".nested_quant_map", DType::f32, {256}, dynamic_map.data()));
  } else {
    tensors.push_back(borrow(weight_name + ".absmax", DType::f32, {matrix.blocks()}, matrix.absmax.data()));
  }
  const std::string text = state_text(matrix, original_dtype);
  const int64_t length = static_cast<int64_t>(text.size());
  tensors.push_back({{state_name(weight_name, matrix.format), DType::u8, {length}}, {text.begin(), text.end()}, nullptr});
  return tensors;
}

}  // namespace fedlora
