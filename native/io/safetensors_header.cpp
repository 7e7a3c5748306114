#include "io/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"
#include "io/json.h"
#include "tensor/source.h"

namespace fedlora {

namespace {

constexpr uint64_t largest_header = 100'000'000;  // the limit of the reference implementation
constexpr char metadata_key[] = "__metadata__";

const Json& member(const Json& object, const char* key, const std::string& where) {
  const Json* found = object.find(key);
  if (found == nullptr) fail(Code::E_FORMAT, "%s has no \"%s\" in the header. The file is damaged; get it anew.", where.c_str(), key);
  return *found;
}

SafetensorsEntry parse_entry(const std::string& name, const Json& value, uint64_t data_begin, uint64_t data_bytes,
                             const std::string& file) {
  const std::string where = format_text("tensor \"%s\" of %s", name.c_str(), file.c_str());
  if (!value.is(Json::Kind::object)) fail(Code::E_FORMAT, "%s is not described by an object. The file is damaged.", where.c_str());
  SafetensorsEntry entry;
  entry.spec.name = name;
  const std::string& dtype = member(value, "dtype", where).as_string(("dtype of " + where).c_str());
  if (!parse_dtype(dtype, entry.spec.dtype))
    fail(Code::E_DTYPE, "%s has dtype \"%s\", expected F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL. Convert the checkpoint.",
         where.c_str(), dtype.c_str());
  for (const Json& extent : member(value, "shape", where).as_array(("shape of " + where).c_str()))
    entry.spec.shape.push_back(extent.as_int64(("shape of " + where).c_str()));
  entry.bytes = tensor_bytes(entry.spec, file);

  const std::string offsets_name = "data_offsets of " + where;
  const std::vector<Json>& offsets = member(value, "data_offsets", where).as_array(offsets_name.c_str());
  if (offsets.size() != 2)
    fail(Code::E_FORMAT, "%s has %zu numbers, expected 2. The file is damaged.", offsets_name.c_str(), offsets.size());
  const int64_t begin = offsets[0].as_int64(offsets_name.c_str()), end = offsets[1].as_int64(offsets_name.c_str());
  if (begin < 0 || end < begin || static_cast<uint64_t>(end) > data_bytes)
    fail(Code::E_FORMAT, "%s are [%lld, %lld], expected 0 ≤ begin ≤ end ≤ %llu. The file is damaged or cut off; get it anew.",
         offsets_name.c_str(), static_cast<long long>(begin), static_cast<long long>(end), static_cast<unsigned long long>(data_bytes));
  if (static_cast<uint64_t>(end - begin) != entry.bytes)
    fail(Code::E_SHAPE, "%s has %lld bytes, but %s × %s needs %zu. The file is damaged; get it anew.", where.c_str(),
         static_cast<long long>(end - begin), shape_text(entry.spec.shape).c_str(), dtype.c_str(), entry.bytes);
  entry.begin = data_begin + static_cast<uint64_t>(begin);
  return entry;
}

/// Sorted by place, each tensor must begin where the one before it ended.
void check_tiling(const std::vector<SafetensorsEntry>& entries, size_t data_begin, size_t size, const std::string& file) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->bytes < b->bytes;
  });
  size_t expected = data_begin;
  for (const SafetensorsEntry* entry : order) {
    if (entry->begin != expected)
      fail(Code::E_FORMAT, "tensor \"%s\" of %s begins at data byte %zu, expected %zu: the tensors %s. The file is damaged; get it anew.",
           entry->spec.name.c_str(), file.c_str(), entry->begin - data_begin, expected - data_begin,
           entry->begin < expected ? "overlap" : "leave a hole");
    expected += entry->bytes;
  }
  if (expected != size)
    fail(Code::E_FORMAT, "%s holds %zu bytes of data, but its tensors need %zu. The file is damaged; get it anew.", file.c_str(),
         size - data_begin, expected - data_begin);
}

}  // namespace

size_t tensor_bytes(const TensorSpec& spec, const std::string& where) {
  uint64_t bytes = dtype_bytes(spec.dtype);
  bool overflow = false;
  for (const int64_t extent : spec.shape) {
    if (extent < 0)
      fail(Code::E_SHAPE, "tensor \"%s\" of %s has shape %s, expected no negative extent.", spec.name.c_str(), where.c_str(),
           shape_text(spec.shape).c_str());
    overflow |= __builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes) || bytes >> 62 != 0;  // also on the way to a 0
  }
  if (overflow)
    fail(Code::E_SHAPE, "tensor \"%s\" of %s has shape %s, whose size overflows.", spec.name.c_str(), where.c_str(),
         shape_text(spec.shape).c_str());
  return bytes;
}

SafetensorsHeader parse_safetensors_header(const uint8_t* bytes, size_t size, const std::string& file) {
  if (size < 8)
    fail(Code::E_FORMAT, "%s has %zu bytes, expected at least the 8 bytes of a safetensors header length. Is the download complete?",
         file.c_str(), size);
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | bytes[i];
  if (length > largest_header)
    fail(Code::E_FORMAT, "%s claims a header of %llu bytes, expected at most %llu. It is not a safetensors file.", file.c_str(),
         static_cast<unsigned long long>(length), static_cast<unsigned long long>(largest_header));
  if (length > size - 8)
    fail(Code::E_FORMAT, "%s claims a header of %llu bytes, but only %zu follow. The file is cut off or not a safetensors file.",
         file.c_str(), static_cast<unsigned long long>(length), size - 8);
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 8, length);
  if (text.empty() || text[0] != '{')
    fail(Code::E_FORMAT, "the header of %s does not begin with '{'. It is not a safetensors file.", file.c_str());
  const Json json = parse_json(text, "the header of " + file);

  SafetensorsHeader header;
  const uint64_t data_begin = 8 + length;
  for (const auto& [name, value] : json.as_object("the header")) {
    if (name != metadata_key) {
      header.entries.push_back(parse_entry(name, value, data_begin, size - data_begin, file));
      continue;
    }
    const std::string where = "__metadata__ of " + file;
    for (const auto& [key, text_value] : value.as_object(where.c_str()))
      header.metadata.emplace_back(key, text_value.as_string(("\"" + key + "\" in " + where).c_str()));
  }
  check_tiling(header.entries, data_begin, size, file);
  return header;
}

std::string make_safetensors_header(const std::vector<TensorSpec>& tensors, const Metadata& metadata, const std::string& file) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (size_t i = 0; i < metadata.size(); ++i) {
      if (i) json += ',';
      append_json_string(json, metadata[i].first);
      json += ':';
      append_json_string(json, metadata[i].second);
    }
    json += '}';
  }
  std::set<std::string> seen = {metadata_key};
  size_t offset = 0;
  for (const TensorSpec& spec : tensors) {
    if (!seen.insert(spec.name).second)
      fail(Code::E_ARGUMENT, "the tensor name \"%s\" %s in %s. Expected distinct names.", spec.name.c_str(),
           spec.name == metadata_key ? "is reserved" : "occurs twice", file.c_str());
    if (json.size() > 1) json += ',';
    append_json_string(json, spec.name);
    json += format_text(":{\"dtype\":\"%s\",\"shape\":[", dtype_name(spec.dtype));
    for (size_t i = 0; i < spec.shape.size(); ++i) {
      if (i) json += ',';
      json += std::to_string(spec.shape[i]);
    }
    const size_t end = offset + tensor_bytes(spec, file);
    json += format_text("],\"data_offsets\":[%zu,%zu]}", offset, end);
    offset = end;
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > largest_header)
    fail(Code::E_ARGUMENT, "%s would have a header of %zu bytes, more than readers accept.", file.c_str(), json.size());
  std::string out(8, '\0');
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
  return out + json;
}

}  // namespace fedlora
