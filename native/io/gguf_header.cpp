#include "io/gguf_header.h"

#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "tensor/source.h"

namespace fedlora {

namespace {

constexpr uint64_t most_entries = 65'536;  // keys, and tensors; the largest published models have a few thousand
constexpr uint64_t longest_name = 512;
constexpr uint32_t most_dimensions = 4;
constexpr uint64_t default_alignment = 32, largest_alignment = 65'536;

/// Bytes of one element; of a string at least those of its length.
size_t least_bytes(GgufType type) {
  constexpr uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
  return bytes[static_cast<int>(type)];
}

unsigned long long shown(uint64_t number) { return number; }

/// Goes over the bytes front to back; nothing is read that was not asked for room first.
class Reader {
 public:
  Reader(const uint8_t* bytes, size_t size, const std::string& file) : bytes_(bytes), size_(size), file_(file) {}

  size_t place() const { return place_; }
  size_t left() const { return size_ - place_; }
  const std::string& file() const { return file_; }

  std::string_view take(uint64_t count, const std::string& what) {
    if (count > left())
      fail(Code::E_FORMAT, "%s of %s takes %llu bytes at byte %zu, but only %zu follow. The file is damaged or cut off; get it anew.",
           what.c_str(), file_.c_str(), shown(count), place_, left());
    const std::string_view taken(reinterpret_cast<const char*>(bytes_) + place_, count);
    place_ += count;
    return taken;
  }
  template <class T>
  T number(const std::string& what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string name(const std::string& what) {
    const uint64_t length = number<uint64_t>(what);
    if (length == 0 || length > longest_name)
      fail(Code::E_FORMAT, "%s of %s has %llu bytes, expected 1 to %llu. The file is damaged; get it anew.", what.c_str(), file_.c_str(),
           shown(length), shown(longest_name));
    std::string text(take(length, what));
    for (const char letter : text)
      if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f)
        fail(Code::E_FORMAT, "%s of %s holds the control character 0x%02x. The file is damaged; get it anew.", what.c_str(), file_.c_str(),
             static_cast<unsigned>(static_cast<unsigned char>(letter)));
    return text;
  }
  /// A number of things of which each takes at least `least` bytes.
  uint64_t count(uint64_t most, size_t least, const std::string& what) {
    const uint64_t count = number<uint64_t>(what);
    if (count > most || count > left() / least)
      fail(Code::E_FORMAT, "%s of %s is %llu, expected at most %llu: %zu bytes follow. The file is damaged or cut off; get it anew.",
           what.c_str(), file_.c_str(), shown(count), shown(std::min<uint64_t>(most, left() / least)), left());
    return count;
  }
  GgufType type(const std::string& what) {
    const uint32_t type = number<uint32_t>(what);
    if (type > static_cast<uint32_t>(GgufType::f64))
      fail(Code::E_FORMAT, "%s of %s is %u, expected 0 to 12. The file is damaged; get it anew.", what.c_str(), file_.c_str(), type);
    return static_cast<GgufType>(type);
  }

 private:
  const uint8_t* bytes_;
  size_t size_, place_ = 0;
  const std::string& file_;
};

GgufKey read_key(Reader& reader, size_t index) {
  GgufKey key;
  key.name = reader.name(format_text("the name of key %zu", index));
  const std::string what = "key \"" + key.name + "\"";
  GgufValue& value = key.value;
  value.type = reader.type("the type of " + what);
  if (value.type == GgufType::list) {
    value.is_list = true;
    value.type = reader.type("the element type of " + what);
    if (value.type == GgufType::list)
      fail(Code::E_FORMAT, "%s of %s is a list of lists, which no version of GGUF writes. The file is damaged; get it anew.", what.c_str(),
           reader.file().c_str());
    value.count = reader.count(UINT64_MAX, least_bytes(value.type), "the length of " + what);
  }
  if (value.type != GgufType::string) {
    value.bytes = reader.take(value.count * least_bytes(value.type), what);
    if (value.type == GgufType::boolean && value.bytes.find_first_not_of(std::string_view("\0\1", 2)) != std::string_view::npos)
      fail(Code::E_FORMAT, "%s of %s holds a truth value that is neither 0 nor 1. The file is damaged; get it anew.", what.c_str(),
           reader.file().c_str());
    return key;
  }
  const size_t begin = reader.place();
  const std::string_view all = reader.take(0, what);
  for (uint64_t i = 0; i < value.count; ++i) reader.take(reader.number<uint64_t>(what), what);
  value.bytes = std::string_view(all.data(), reader.place() - begin);
  return key;
}

/// Everything but `begin`; gives the offset.
uint64_t read_tensor(Reader& reader, size_t index, GgufTensor& tensor) {
  tensor.name = reader.name(format_text("the name of tensor %zu", index));
  const std::string what = "tensor \"" + tensor.name + "\"";
  const std::string& file = reader.file();
  const uint32_t dimensions = reader.number<uint32_t>("the dimensions of " + what);
  if (dimensions < 1 || dimensions > most_dimensions)
    fail(Code::E_SHAPE, "%s of %s has %u dimensions, expected 1 to %u. The file is damaged; get it anew.", what.c_str(), file.c_str(),
         dimensions, most_dimensions);
  uint64_t elements = 1;
  bool sound = true;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const uint64_t extent = reader.number<uint64_t>("the shape of " + what);
    sound = sound && extent > 0 && !__builtin_mul_overflow(elements, extent, &elements) && elements >> 58 == 0;
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(extent));
  }
  if (!sound)
    fail(Code::E_SHAPE,
         "%s of %s has the shape %s, expected extents from 1 on whose product is below 2^58. The file is damaged; get it anew.",
         what.c_str(), file.c_str(), shape_text(tensor.shape).c_str());
  const uint32_t id = reader.number<uint32_t>("the type of " + what);
  tensor.type = find_ggml_type(id);
  if (tensor.type == nullptr)
    fail(Code::E_DTYPE,
         "%s of %s has the number type %u, which is none of ggml's (or one that was taken out). Get the file anew, or in "
         "F16, BF16, Q8_0 or Q4_K.",
         what.c_str(), file.c_str(), id);
  if (tensor.shape.back() % tensor.type->block_elements != 0)
    fail(Code::E_SHAPE, "%s of %s has rows of %lld %s numbers, expected a multiple of %d. The file is damaged; get it anew.", what.c_str(),
         file.c_str(), static_cast<long long>(tensor.shape.back()), tensor.type->name, tensor.type->block_elements);
  tensor.bytes = elements / static_cast<uint64_t>(tensor.type->block_elements) * static_cast<uint64_t>(tensor.type->block_bytes);
  return reader.number<uint64_t>("the offset of " + what);
}

uint64_t read_alignment(const GgufHeader& header, const std::string& file) {
  const GgufValue* value = header.find("general.alignment");
  if (value == nullptr) return default_alignment;
  uint32_t alignment = 0;
  if (value->type == GgufType::u32 && !value->is_list) std::memcpy(&alignment, value->bytes.data(), sizeof alignment);
  if (alignment == 0 || alignment > largest_alignment || (alignment & (alignment - 1)) != 0)
    fail(Code::E_FORMAT, "general.alignment of %s is %s, expected a power of two up to %llu as uint32. The file is damaged; get it anew.",
         file.c_str(), alignment == 0 ? "0 or no uint32" : std::to_string(alignment).c_str(), shown(largest_alignment));
  return alignment;
}

/// Fills `begin`: each tensor must lie where the one before it, padded, ended.
void place_tensors(GgufHeader& header, const std::vector<uint64_t>& offsets, uint64_t alignment, const Reader& reader) {
  const auto padded = [&](uint64_t place) { return (place + alignment - 1) / alignment * alignment; };
  const uint64_t data_begin = padded(reader.place()), size = reader.place() + reader.left();
  uint64_t end = 0;
  for (size_t i = 0; i < offsets.size(); ++i) {
    GgufTensor& tensor = header.tensors[i];
    const uint64_t expected = padded(end);
    if (offsets[i] != expected)
      fail(Code::E_FORMAT, "tensor \"%s\" of %s begins at data byte %llu, expected %llu: the tensors %s. The file is damaged; get it anew.",
           tensor.name.c_str(), reader.file().c_str(), shown(offsets[i]), shown(expected),
           offsets[i] < expected ? "overlap" : "leave a hole or are not aligned");
    // Extents are below 2^58 elements of at most 8 bytes and the sum so far is within the file: nothing here overflows.
    if (data_begin > size || expected > size - data_begin || tensor.bytes > size - data_begin - expected)
      fail(Code::E_FORMAT,
           "tensor \"%s\" of %s takes %zu bytes from data byte %llu on, but the file has %llu bytes of data. It is cut off; get it anew.",
           tensor.name.c_str(), reader.file().c_str(), tensor.bytes, shown(expected), shown(data_begin > size ? 0 : size - data_begin));
    tensor.begin = data_begin + expected;
    end = expected + tensor.bytes;
  }
  const uint64_t whole = header.tensors.empty() ? data_begin : data_begin + padded(end);
  if (size > whole)
    fail(Code::E_FORMAT, "%s has %llu bytes behind its %s. Something else was appended, or the header is damaged; get it anew.",
         reader.file().c_str(), shown(size - whole), header.tensors.empty() ? "header" : "last tensor");
}

void check_magic(Reader& reader) {
  const std::string& file = reader.file();
  if (reader.left() < 24 || reader.take(4, "the beginning") != "GGUF")
    fail(Code::E_FORMAT, "%s is no GGUF file: expected the letters GGUF and a header of at least 24 bytes. Is the download complete?",
         file.c_str());
  const uint32_t version = reader.number<uint32_t>("the version");
  if (version == 0x02000000 || version == 0x03000000)
    fail(Code::E_VERSION, "%s is a big-endian GGUF file. Get the little-endian one, or turn it with gguf-convert-endian.", file.c_str());
  if (version != 2 && version != 3)
    fail(Code::E_VERSION, "%s is of GGUF version %u, expected 2 or 3. Convert the model anew with a current llama.cpp.", file.c_str(),
         version);
}

}  // namespace

GgufHeader parse_gguf_header(const uint8_t* bytes, size_t size, const std::string& file) {
  Reader reader(bytes, size, file);
  check_magic(reader);
  // The shortest tensor has a name of one byte and one extent; the shortest key a name of one byte and a value of one.
  const uint64_t tensors = reader.count(most_entries, 33, "the number of tensors"),
                 keys = reader.count(most_entries, 14, "the number of keys");
  GgufHeader header;
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < keys; ++i) {
    header.keys.push_back(read_key(reader, i));
    if (!seen.insert(header.keys.back().name).second)
      fail(Code::E_FORMAT, "the key \"%s\" is in %s twice. The file is damaged; get it anew.", header.keys.back().name.c_str(),
           file.c_str());
  }
  seen.clear();
  std::vector<uint64_t> offsets;
  for (size_t i = 0; i < tensors; ++i) {
    offsets.push_back(read_tensor(reader, i, header.tensors.emplace_back()));
    if (!seen.insert(header.tensors.back().name).second)
      fail(Code::E_FORMAT, "tensor \"%s\" is in %s twice. The file is damaged; get it anew.", header.tensors.back().name.c_str(),
           file.c_str());
  }
  place_tensors(header, offsets, read_alignment(header, file), reader);
  return header;
}

}  // namespace fedlora
