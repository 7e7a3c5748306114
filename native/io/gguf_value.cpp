// Values of GGUF's metadata and the number types of ggml: names, sizes, elements.
#include <cstring>

#include "base/error.h"
#include "io/gguf_header.h"

namespace fedlora {

namespace {

template <class T>
std::vector<double> all_of(const GgufValue& value) {
  std::vector<double> numbers(value.count);
  for (size_t i = 0; i < numbers.size(); ++i) {
    T number;
    std::memcpy(&number, value.bytes.data() + i * sizeof(T), sizeof(T));
    numbers[i] = static_cast<double>(number);
  }
  return numbers;
}

constexpr GgmlType decoded(uint32_t id, DType dtype) {
  const DTypeTraits traits = dtype_traits(dtype);
  return {id, traits.name, traits.block_elements, traits.block_bytes, dtype};
}

// github.com/ggml-org/ggml, include/ggml.h (enum ggml_type) and src/ggml-common.h (sizes of blocks).
constexpr GgmlType ggml_types[] = {
    decoded(0, DType::f32),       decoded(1, DType::f16),       decoded(2, DType::q4_0),      decoded(3, DType::q4_1),
    decoded(6, DType::q5_0),      decoded(7, DType::q5_1),      decoded(8, DType::q8_0),      {9, "Q8_1", 32, 36, {}},
    decoded(10, DType::q2_k),     decoded(11, DType::q3_k),     decoded(12, DType::q4_k),     decoded(13, DType::q5_k),
    decoded(14, DType::q6_k),     {15, "Q8_K", 256, 292, {}},   {16, "IQ2_XXS", 256, 66, {}}, {17, "IQ2_XS", 256, 74, {}},
    {18, "IQ3_XXS", 256, 98, {}}, {19, "IQ1_S", 256, 50, {}},   {20, "IQ4_NL", 32, 18, {}},   {21, "IQ3_S", 256, 110, {}},
    {22, "IQ2_S", 256, 82, {}},   {23, "IQ4_XS", 256, 136, {}}, decoded(24, DType::i8),       decoded(25, DType::i16),
    decoded(26, DType::i32),      decoded(27, DType::i64),      decoded(28, DType::f64),      {29, "IQ1_M", 256, 56, {}},
    decoded(30, DType::bf16),     {34, "TQ1_0", 256, 54, {}},   {35, "TQ2_0", 256, 66, {}},   {39, "MXFP4", 32, 17, {}},
    {40, "NVFP4", 64, 36, {}},
};

}  // namespace

const GgmlType* find_ggml_type(uint32_t id) {
  for (const GgmlType& type : ggml_types)
    if (type.id == id) return &type;
  return nullptr;
}

const GgmlType& ggml_type_of(DType dtype) {
  for (const GgmlType& type : ggml_types)
    if (type.dtype == dtype) return type;
  fail(Code::E_DTYPE, "ggml has no type for %s.", dtype_name(dtype));
}

std::vector<double> GgufValue::numbers() const {
  switch (type) {
    case GgufType::u8:
    case GgufType::boolean:
      return all_of<uint8_t>(*this);
    case GgufType::i8:
      return all_of<int8_t>(*this);
    case GgufType::u16:
      return all_of<uint16_t>(*this);
    case GgufType::i16:
      return all_of<int16_t>(*this);
    case GgufType::u32:
      return all_of<uint32_t>(*this);
    case GgufType::i32:
      return all_of<int32_t>(*this);
    case GgufType::f32:
      return all_of<float>(*this);
    case GgufType::u64:
      return all_of<uint64_t>(*this);
    case GgufType::i64:
      return all_of<int64_t>(*this);
    case GgufType::f64:
      return all_of<double>(*this);
    default:
      return {};
  }
}

std::vector<std::string_view> GgufValue::strings() const {
  if (type != GgufType::string) return {};
  std::vector<std::string_view> strings(count);
  std::string_view rest = bytes;
  for (std::string_view& string : strings) {
    uint64_t length;
    std::memcpy(&length, rest.data(), sizeof length);
    string = rest.substr(sizeof length, length);
    rest.remove_prefix(sizeof length + length);
  }
  return strings;
}

const GgufValue* GgufHeader::find(std::string_view name) const {
  for (const GgufKey& key : keys)
    if (key.name == name) return &key.value;
  return nullptr;
}

std::optional<uint64_t> GgufHeader::whole(std::string_view name) const {
  const GgufValue* value = find(name);
  if (value == nullptr || value->is_list || value->type == GgufType::string || value->type == GgufType::boolean) return std::nullopt;
  const double number = value->numbers()[0];
  if (!(number >= 0 && number <= 0x1p53) || number != static_cast<double>(static_cast<uint64_t>(number))) return std::nullopt;
  return static_cast<uint64_t>(number);
}

}  // namespace fedlora
