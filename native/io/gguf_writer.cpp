#include "io/gguf_writer.h"

#include <unordered_set>

#include "base/error.h"

namespace fedlora {

namespace {

constexpr size_t alignment = 32, longest_name = 64;  // ggml's GGML_MAX_NAME

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

size_t padding_behind(size_t bytes) { return (alignment - bytes % alignment) % alignment; }

/// Of a tensor whose shape was judged.
size_t bytes_of(const TensorSpec& spec) {
  size_t elements = 1;
  for (const int64_t extent : spec.shape) elements *= static_cast<size_t>(extent);
  return stored_bytes(spec.dtype, elements);
}

void check_tensor(const TensorSpec& spec, const std::string& file) {
  if (spec.name.empty() || spec.name.size() >= longest_name)
    fail(Code::E_ARGUMENT, "the tensor name \"%s\" has %zu bytes, expected 1 to %zu in %s.", spec.name.c_str(), spec.name.size(),
         longest_name - 1, file.c_str());
  uint64_t elements = 1;
  bool sound = !spec.shape.empty() && spec.shape.size() <= 4;
  for (const int64_t extent : spec.shape)
    sound = sound && extent > 0 && !__builtin_mul_overflow(elements, static_cast<uint64_t>(extent), &elements) && elements >> 58 == 0;
  if (!sound || spec.shape.back() % dtype_traits(spec.dtype).block_elements != 0)
    fail(Code::E_SHAPE, "tensor \"%s\" of %s cannot be written as %s: expected 1 to 4 extents from 1 on, rows of a multiple of %d.",
         spec.name.c_str(), file.c_str(), dtype_name(spec.dtype), dtype_traits(spec.dtype).block_elements);
}

std::string make_header(const std::vector<GgufField>& fields, const std::vector<TensorSpec>& tensors, const std::string& file) {
  std::string header = "GGUF" + raw<uint32_t>(3) + raw<uint64_t>(tensors.size()) + raw<uint64_t>(fields.size());
  std::unordered_set<std::string> seen;
  for (const GgufField& field : fields) {
    if (field.name.empty() || !seen.insert(field.name).second)
      fail(Code::E_ARGUMENT, "the key \"%s\" is empty or given twice for %s.", field.name.c_str(), file.c_str());
    header += gguf_string(field.name);
    if (field.is_list) header += raw(GgufType::list);
    header += raw(field.type);
    if (field.is_list) header += raw(field.count);
    header += field.bytes;
  }
  seen.clear();
  size_t offset = 0;
  for (const TensorSpec& spec : tensors) {
    check_tensor(spec, file);
    if (!seen.insert(spec.name).second)
      fail(Code::E_ARGUMENT, "the tensor name \"%s\" occurs twice in %s.", spec.name.c_str(), file.c_str());
    header += gguf_string(spec.name) + raw(static_cast<uint32_t>(spec.shape.size()));
    for (size_t i = spec.shape.size(); i-- > 0;) header += raw(static_cast<uint64_t>(spec.shape[i]));
    header += raw(ggml_type_of(spec.dtype).id) + raw(static_cast<uint64_t>(offset));
    const size_t bytes = bytes_of(spec);
    offset += bytes + padding_behind(bytes);
  }
  return header.append(padding_behind(header.size()), '\0');
}

}  // namespace

std::string gguf_string(std::string_view text) { return raw<uint64_t>(text.size()).append(text); }

GgufField gguf_text(const std::string& name, const std::string& text) { return {name, GgufType::string, false, 1, gguf_string(text)}; }

GgufField gguf_whole(const std::string& name, uint32_t number) { return {name, GgufType::u32, false, 1, raw(number)}; }

GgufWriter::GgufWriter(const std::string& path, const std::vector<GgufField>& fields, std::vector<TensorSpec> tensors)
    : tensors_(std::move(tensors)), file_(path) {
  const std::string header = make_header(fields, tensors_, path);
  file_.write(header.data(), header.size());
}

void GgufWriter::end_complete() {
  const size_t bytes = bytes_of(tensors_[current_]);
  if (written_ < bytes) return;
  const char zeros[alignment] = {};
  file_.write(zeros, padding_behind(bytes));
  ++current_;
  written_ = 0;
}

void GgufWriter::write(const void* data, size_t bytes) {
  if (current_ == tensors_.size() || bytes > bytes_of(tensors_[current_]) - written_)
    fail(Code::E_ARGUMENT, "%zu bytes came for %s, more than were declared.", bytes, file_.path().c_str());
  file_.write(data, bytes);
  written_ += bytes;
  end_complete();
}

void GgufWriter::finish() {
  if (current_ < tensors_.size())
    fail(Code::E_ARGUMENT, "%s is not complete: bytes of \"%s\" are missing.", file_.path().c_str(), tensors_[current_].name.c_str());
  file_.commit();
}

}  // namespace fedlora
