// Reading and judging GGUF files: a table of damages, the parts of split models, fuzz.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "base/philox.h"
#include "damaged_files.h"
#include "harness.h"
#include "io/gguf.h"
#include "scratch_folder.h"

using namespace fedlora;

namespace {

using Bytes = std::string;

template <class T>
Bytes raw(T value) {
  return Bytes(reinterpret_cast<const char*>(&value), sizeof value);
}
Bytes text(const std::string& letters) { return raw<uint64_t>(letters.size()) + letters; }
Bytes key(const std::string& name, GgufType type, const Bytes& value) { return text(name) + raw(type) + value; }
Bytes list(const std::string& name, GgufType type, uint64_t count, const Bytes& values) {
  return key(name, GgufType::list, raw(type) + raw(count) + values);
}
Bytes tensor(const std::string& name, const std::vector<uint64_t>& extents, uint32_t type, uint64_t offset) {
  Bytes bytes = text(name) + raw(static_cast<uint32_t>(extents.size()));
  for (const uint64_t extent : extents) bytes += raw(extent);
  return bytes + raw(type) + raw(offset);
}

/// A file of these keys and tensors, padded, with `data` bytes behind.
struct Sketch {
  std::vector<Bytes> keys, tensors;
  size_t data = 0;
  uint32_t version = 3;
  std::string magic = "GGUF";
  uint64_t more_keys = 0, more_tensors = 0;  // announced beside those that are there
  size_t alignment = 32;

  Bytes bytes() const {
    Bytes all = magic + raw(version) + raw<uint64_t>(tensors.size() + more_tensors) + raw<uint64_t>(keys.size() + more_keys);
    for (const Bytes& one : keys) all += one;
    for (const Bytes& one : tensors) all += one;
    all.resize((all.size() + alignment - 1) / alignment * alignment);
    return all + Bytes(data, '\1');
  }
};

constexpr uint32_t type_f32 = 0, type_q4_0 = 2, type_iq4_nl = 20, type_i8 = 24;

Sketch sample() {
  Sketch sketch;
  sketch.keys = {key("general.architecture", GgufType::string, text("llama")),
                 key("llama.block_count", GgufType::u32, raw<uint32_t>(2)),
                 list("tokenizer.ggml.tokens", GgufType::string, 3, text("a") + text("") + text("\xc3\xa9")),
                 list("tokenizer.ggml.scores", GgufType::f32, 2, raw(1.5f) + raw(-2.0f)),
                 key("yes", GgufType::boolean, raw<uint8_t>(1)),
                 key("small", GgufType::i8, raw<int8_t>(-3)),
                 key("exact", GgufType::f64, raw(0.1))};
  sketch.tensors = {tensor("a", {3, 2}, type_f32, 0), tensor("b", {32, 1, 2}, type_q4_0, 32), tensor("c", {5}, type_i8, 96)};
  sketch.data = 128;
  return sketch;
}

GgufHeader parse(const Bytes& bytes) {
  return parse_gguf_header(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "test file");
}

/// Code and message that it is refused with; "" when it is accepted. The bytes lie in a block of their very size, for the sanitizer.
std::string verdict(const Bytes& bytes) {
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  try {
    parse_gguf_header(exact.data(), exact.size(), "test file");
  } catch (const Error& error) {
    return std::string(code_name(error.code())) + " " + error.what();
  }
  return "";
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
Bytes with_key(const Bytes& one) {
  Sketch sketch;
  sketch.keys = {one};
  return sketch.bytes();
}
Bytes with_tensor(const Bytes& one, size_t data) {
  Sketch sketch;
  sketch.tensors = {one};
  sketch.data = data;
  return sketch.bytes();
}

}  // namespace

CASE("keys, lists and tensors are read as they were written") {
  const Bytes bytes = sample().bytes();
  const GgufHeader header = parse(bytes);
  CHECK(header.keys.size() == 7 && header.find("general.architecture")->strings() == std::vector<std::string_view>{"llama"});
  CHECK(header.find("tokenizer.ggml.tokens")->strings() == (std::vector<std::string_view>{"a", "", "\xc3\xa9"}));
  CHECK(header.find("tokenizer.ggml.tokens")->numbers().empty() && header.find("exact")->strings().empty());
  CHECK(header.find("tokenizer.ggml.scores")->numbers() == (std::vector<double>{1.5, -2}) && header.find("none") == nullptr);
  CHECK(header.find("small")->numbers() == std::vector<double>{-3} && header.find("exact")->numbers() == std::vector<double>{0.1});
  CHECK(header.find("yes")->numbers() == std::vector<double>{1});
  CHECK(header.whole("llama.block_count") == 2 && !header.whole("small") && !header.whole("exact") && !header.whole("yes"));
  CHECK(!header.whole("general.architecture") && !header.whole("tokenizer.ggml.scores") && !header.whole("none"));
  CHECK(header.tensors.size() == 3 && header.tensors[0].shape == (std::vector<int64_t>{2, 3}) && header.tensors[0].bytes == 24);
  CHECK(header.tensors[1].shape == (std::vector<int64_t>{2, 1, 32}) && header.tensors[1].bytes == 36);
  CHECK(header.tensors[1].type->dtype == DType::q4_0 && header.tensors[2].bytes == 5);
  const size_t offsets[] = {0, 32, 96};
  for (size_t i = 0; i < 3; ++i) CHECK(header.tensors[i].begin == bytes.size() - 128 + offsets[i]);
}

CASE("whole numbers: up to 2⁵³, of any type of number, and nothing else; a key may have the name of a tensor") {
  Sketch sketch = sample();
  const auto put = [&](const char* name, GgufType type, const Bytes& value) { sketch.keys.push_back(key(name, type, value)); };
  put("most", GgufType::u64, raw(uint64_t{1} << 53));
  put("more", GgufType::u64, raw(uint64_t{1} << 60));
  put("none", GgufType::f32, raw(0.0f));
  put("seven", GgufType::f64, raw(7.0));
  put("half", GgufType::f32, raw(7.5f));
  put("minus", GgufType::i64, raw(int64_t{-1}));
  put("huge", GgufType::f64, raw(1e300));
  put("nan", GgufType::f32, raw(std::nanf("")));
  put("a", GgufType::u8, raw<uint8_t>(9));
  put(" ~", GgufType::u8, raw<uint8_t>(8));
  const Bytes bytes = sketch.bytes();  // which the header's names lie in
  const GgufHeader header = parse(bytes);
  CHECK(header.whole("most") == uint64_t{1} << 53 && header.whole("none") == 0 && header.whole("seven") == 7);
  for (const char* name : {"more", "half", "minus", "huge", "nan"}) CHECK(!header.whole(name));
  CHECK(header.whole(" ~") == 8);  // the first and the last letter that a name may have
  CHECK(header.whole("a") == 9 && header.tensors[0].name == "a");
}

CASE("every type of value has its size, alone and in a list") {
  const struct {
    GgufType type;
    Bytes value;
    double number;
  } rows[] = {{GgufType::u8, raw<uint8_t>(200), 200},
              {GgufType::i8, raw<int8_t>(-5), -5},
              {GgufType::u16, raw<uint16_t>(60000), 60000},
              {GgufType::i16, raw<int16_t>(-300), -300},
              {GgufType::u32, raw<uint32_t>(4000000000u), 4e9},
              {GgufType::i32, raw<int32_t>(-70000), -70000},
              {GgufType::f32, raw(0.5f), 0.5},
              {GgufType::boolean, raw<uint8_t>(0), 0},
              {GgufType::u64, raw<uint64_t>(1) + Bytes(), 1},
              {GgufType::i64, raw<int64_t>(-1), -1},
              {GgufType::f64, raw(2.25), 2.25}};
  for (const auto& row : rows) {
    const Bytes alone = with_key(key("k", row.type, row.value)), twice = with_key(list("k", row.type, 2, row.value + row.value));
    CHECK(parse(alone).find("k")->numbers() == std::vector<double>{row.number});
    CHECK(parse(twice).find("k")->numbers() == (std::vector<double>{row.number, row.number}));
    CHECK(std::string(gguf_type_name(row.type)).size() > 3);
  }
  CHECK(parse(with_key(list("k", GgufType::string, 0, ""))).find("k")->strings().empty());
  CHECK(!parse(with_key(key("k", GgufType::f64, raw(1e300)))).whole("k"));
}

CASE("number types of ggml: sizes agree with what is decoded, ids are met once") {
  int decoded = 0;
  for (uint32_t id = 0; id < 64; ++id) {
    const GgmlType* type = find_ggml_type(id);
    if (type == nullptr) continue;
    CHECK(type->id == id && type->block_elements > 0 && type->block_bytes > 0);
    if (!type->dtype) continue;
    ++decoded;
    const DTypeTraits traits = dtype_traits(*type->dtype);
    CHECK(traits.block_elements == type->block_elements && traits.block_bytes == type->block_bytes &&
          std::string(traits.name) == type->name);
    CHECK(&ggml_type_of(*type->dtype) == type);
  }
  // Those that are not decoded, by the fields of their blocks in ggml-common.h: scales, then what stands for the elements.
  const struct {
    uint32_t id;
    std::vector<int64_t> fields;
  } skipped[] = {{9, {2, 2, 32}},      {15, {4, 256, 2 * 16}}, {16, {2, 2 * 32}},       {17, {2, 2 * 32, 8}}, {18, {2, 3 * 32}},
                 {19, {2, 32, 2 * 8}}, {20, {2, 16}},          {21, {2, 64, 8, 32, 4}}, {22, {2, 64, 8, 8}},  {23, {2, 2, 4, 128}},
                 {29, {32, 16, 8}},    {34, {48, 4, 2}},       {35, {64, 2}},           {39, {1, 16}},        {40, {4, 32}}};
  for (const auto& [id, fields] : skipped) {
    const GgmlType* type = find_ggml_type(id);
    CHECK(type != nullptr && !type->dtype && type->block_bytes == std::accumulate(fields.begin(), fields.end(), int64_t{0}));
    CHECK(type->block_elements == (id == 9 || id == 20 || id == 39 ? 32 : id == 40 ? 64 : 256));
  }
  CHECK(decoded == 18 && find_ggml_type(4) == nullptr && find_ggml_type(4000000000u) == nullptr);
  CHECK_THROWS(ggml_type_of(DType::boolean), E_DTYPE);
}

// Overflows and damages that were published for other parsers (CVE-2025-53630, CVE-2026-27940, CVE-2026-7482, CVE-2025-49847) and the
// table of ggml's own tests (tests/test-gguf.cpp), each with the code that it gets here and a word of the message.
CASE("a table of damages: each is refused with its code, saying what and where") {
  const auto sketch = [](auto change) {
    Sketch made = sample();
    change(made);
    return made.bytes();
  };
  constexpr uint64_t huge = 1ull << 62, all = UINT64_MAX;
  const Bytes good_key = key("k", GgufType::u8, raw<uint8_t>(1));
  const struct {
    const char* what;
    Bytes bytes;
    const char *code, *word;
  } rows[] = {
      {"empty", "", "E_FORMAT", "no GGUF"},
      {"only the magic", "GGUF", "E_FORMAT", "no GGUF"},
      {"another magic", sketch([](Sketch& m) { m.magic = "GGML"; }), "E_FORMAT", "no GGUF"},
      {"version 0", sketch([](Sketch& m) { m.version = 0; }), "E_VERSION", "version 0"},
      {"version 1", sketch([](Sketch& m) { m.version = 1; }), "E_VERSION", "version 1"},
      {"version 4", sketch([](Sketch& m) { m.version = 4; }), "E_VERSION", "version 4"},
      {"big-endian", sketch([](Sketch& m) { m.version = 0x03000000; }), "E_VERSION", "big-endian"},
      {"more keys than there are", sketch([](Sketch& m) { m.more_keys = 1; }), "E_FORMAT", ""},
      {"keys without end", sketch([&](Sketch& m) { m.more_keys = all - 7; }), "E_FORMAT", "the number of keys"},
      {"keys whose sizes overflow", sketch([&](Sketch& m) { m.more_keys = huge; }), "E_FORMAT", "the number of keys"},
      {"more tensors than there are", sketch([](Sketch& m) { m.more_tensors = 1; }), "E_FORMAT", ""},
      {"tensors without end", sketch([&](Sketch& m) { m.more_tensors = all - 3; }), "E_FORMAT", "the number of tensors"},
      {"a key without name", with_key(key("", GgufType::u8, raw<uint8_t>(1))), "E_FORMAT", "0 bytes"},
      {"a key's name without end", with_key(raw(all) + Bytes(40, 'x')), "E_FORMAT", "the name of key 0"},
      {"a key's name beyond the file", with_key(raw<uint64_t>(500) + Bytes(40, 'x')), "E_FORMAT", "cut off"},
      {"a name with a control character", with_key(key(std::string("k\0k", 3), GgufType::u8, raw<uint8_t>(1))), "E_FORMAT", "control"},
      {"a name with the last control character", with_key(key("k\x7f", GgufType::u8, raw<uint8_t>(1))), "E_FORMAT", "0x7f"},
      {"a key of type 13", with_key(key("k", static_cast<GgufType>(13), raw<uint64_t>(1))), "E_FORMAT", "the type of key \"k\""},
      {"a list of type 13", with_key(list("k", static_cast<GgufType>(13), 1, raw<uint64_t>(1))), "E_FORMAT", "element type"},
      {"a list of lists", with_key(list("k", GgufType::list, 1, raw(GgufType::u8) + raw<uint64_t>(1) + "x")), "E_FORMAT", "list of lists"},
      {"a list without end", with_key(list("k", GgufType::u32, all, Bytes(64, '\0'))), "E_FORMAT", "the length of key"},
      {"a list longer than the file", with_key(list("k", GgufType::u64, 40, Bytes(64, '\0'))), "E_FORMAT", "the length of key"},
      {"a list whose size overflows", with_key(list("k", GgufType::u64, huge, Bytes(64, '\0'))), "E_FORMAT", "the length of key"},
      {"a list of strings without end", with_key(list("k", GgufType::string, huge / 2, text("a"))), "E_FORMAT", "the length of key"},
      {"a string without end", with_key(key("k", GgufType::string, raw(all) + "abc")), "E_FORMAT", "key \"k\""},
      {"a string that wraps around", with_key(key("k", GgufType::string, raw(all - 40) + Bytes(64, 'x'))), "E_FORMAT", "key \"k\""},
      {"a string of a list beyond the file", with_key(list("k", GgufType::string, 2, text("a") + raw<uint64_t>(99) + Bytes(20, 'x'))),
       "E_FORMAT", "key \"k\""},
      {"a truth value of 2", with_key(key("k", GgufType::boolean, raw<uint8_t>(2))), "E_FORMAT", "truth value"},
      {"a key twice", sketch([&](Sketch& m) { m.keys.insert(m.keys.end(), {good_key, good_key}); }), "E_FORMAT", "twice"},
      {"an alignment of 0", sketch([](Sketch& m) { m.keys.push_back(key("general.alignment", GgufType::u32, raw<uint32_t>(0))); }),
       "E_FORMAT", "alignment"},
      {"an alignment of 24", sketch([](Sketch& m) { m.keys.push_back(key("general.alignment", GgufType::u32, raw<uint32_t>(24))); }),
       "E_FORMAT", "power of two"},
      {"an alignment of 2^31",
       sketch([](Sketch& m) { m.keys.push_back(key("general.alignment", GgufType::u32, raw<uint32_t>(1u << 31))); }), "E_FORMAT",
       "alignment"},
      {"an alignment of 8 bytes", sketch([](Sketch& m) { m.keys.push_back(key("general.alignment", GgufType::u64, raw<uint64_t>(32))); }),
       "E_FORMAT", "uint32"},
      {"a list as alignment", sketch([](Sketch& m) { m.keys.push_back(list("general.alignment", GgufType::u32, 1, raw<uint32_t>(32))); }),
       "E_FORMAT", "alignment"},
      {"a tensor without name", with_tensor(tensor("", {1}, type_f32, 0), 32), "E_FORMAT", "tensor 0"},
      {"a tensor's name without end", with_tensor(raw(huge) + Bytes(60, 'x'), 32), "E_FORMAT", "the name of tensor 0"},
      {"no dimension", with_tensor(tensor("t", {}, type_f32, 0) + Bytes(8, '\0'), 32), "E_SHAPE", "0 dimensions"},
      {"five dimensions", with_tensor(tensor("t", {1, 1, 1, 1, 1}, type_f32, 0), 32), "E_SHAPE", "5 dimensions"},
      {"dimensions without end", with_tensor(text("t") + raw<uint32_t>(0xffffffffu) + Bytes(64, '\1'), 32), "E_SHAPE", "dimensions"},
      {"an extent of 0", with_tensor(tensor("t", {4, 0}, type_f32, 0), 32), "E_SHAPE", "extents"},
      {"an extent below 0", with_tensor(tensor("t", {all}, type_f32, 0), 32), "E_SHAPE", "extents"},
      {"a product that overflows to 0", with_tensor(tensor("t", {1ull << 32, 1ull << 32}, type_f32, 0), 32), "E_SHAPE", "2^58"},
      {"a product that overflows to 4", with_tensor(tensor("t", {(1ull << 62) + 1, 4}, type_f32, 0), 32), "E_SHAPE", "2^58"},
      {"bytes that overflow", with_tensor(tensor("t", {1ull << 61}, type_f32, 0), 32), "E_SHAPE", "2^58"},
      {"a type that was taken out", with_tensor(tensor("t", {32}, 4, 0), 32), "E_DTYPE", "type 4"},
      {"a type without end", with_tensor(tensor("t", {32}, 0xffffffffu, 0), 32), "E_DTYPE", "4294967295"},
      {"rows of half a block", with_tensor(tensor("t", {48}, type_q4_0, 0), 32), "E_SHAPE", "multiple of 32"},
      {"rows of half a block, whole in all", with_tensor(tensor("t", {16, 2}, type_q4_0, 0), 32), "E_SHAPE", "multiple of 32"},
      {"a tensor larger than the file", with_tensor(tensor("t", {1ull << 40}, type_f32, 0), 32), "E_FORMAT", "cut off"},
      {"a byte too few", with_tensor(tensor("t", {8}, type_f32, 0), 31), "E_FORMAT", "cut off"},
      {"bytes behind the last tensor", with_tensor(tensor("t", {8}, type_f32, 0), 33), "E_FORMAT", "behind its last tensor"},
      {"bytes behind a header without tensors", with_key(good_key) + "x", "E_FORMAT", "behind its header"},
      {"a hole in front", with_tensor(tensor("t", {8}, type_f32, 32), 64), "E_FORMAT", "hole"},
      {"an offset that is not aligned", with_tensor(tensor("t", {8}, type_f32, 4), 64), "E_FORMAT", "not aligned"},
      {"an offset without end", with_tensor(tensor("t", {8}, type_f32, all - 31), 64), "E_FORMAT", "hole"},
      {"overlap", sketch([](Sketch& m) { m.tensors[1] = tensor("b", {32, 1, 2}, type_q4_0, 0); }), "E_FORMAT", "overlap"},
      {"a tensor twice", sketch([](Sketch& m) { m.tensors[1] = tensor("a", {32, 1, 2}, type_q4_0, 32); }), "E_FORMAT", "twice"},
  };
  for (const auto& row : rows) {
    const std::string said = verdict(row.bytes);
    if (!contains(said, row.code) || !contains(said, row.word) || !contains(said, "test file"))
      harness::report(__FILE__, __LINE__, std::string(row.what) + ": \"" + said + "\"");
  }
  CHECK(verdict(sample().bytes()).empty());
  CHECK(verdict(sketch([](Sketch& m) { m.version = 2; })).empty());
}

CASE("an alignment of its own, a tail of padding or none, tensors of types that are not decoded: headers that are right") {
  for (const uint32_t alignment : {1u, 8u, 64u, 65536u}) {
    Sketch sketch = sample();
    sketch.alignment = alignment;
    sketch.keys.push_back(key("general.alignment", GgufType::u32, raw(alignment)));
    const auto next = [&](uint64_t end) { return (end + alignment - 1) / alignment * alignment; };
    const uint64_t b = next(24), c = next(b + 36);
    sketch.tensors = {tensor("a", {3, 2}, type_f32, 0), tensor("b", {32, 1, 2}, type_q4_0, b), tensor("c", {5}, type_i8, c)};
    for (const uint64_t end : {c + 5, next(c + 5)}) {
      sketch.data = end;
      CHECK(verdict(sketch.bytes()).empty());
    }
  }
  CHECK(verdict(with_tensor(tensor("t", {32}, type_iq4_nl, 0), 18)).empty());
  Bytes bare = with_key(key("k", GgufType::u8, raw<uint8_t>(1)));
  bare.resize(24 + 8 + 1 + 4 + 1);  // without padding, as a file of a vocabulary alone ends
  CHECK(verdict(bare).empty());
}

CASE("a file on disk: names, views, release; what is not decoded is refused by its name") {
  const ScratchFolder folder;
  write_bytes(folder / "x.gguf", sample().bytes());
  const GgufTensors file({folder / "x.gguf"});
  CHECK(file.names() == (std::vector<std::string>{"a", "b", "c"}) && file.has("b") && !file.has("d"));
  const TensorView view = file.get("b");
  CHECK(view.dtype == DType::q4_0 && view.bytes == 36 && view.elements() == 64 && *static_cast<const uint8_t*>(view.data) == 1);
  CHECK(stored_bytes(view.dtype, 64) == view.bytes && file.header().whole("llama.block_count") == 2);
  file.release("a");
  CHECK_THROWS(file.get("d"), E_MISSING);
  CHECK_THROWS(file.release("d"), E_MISSING);
  CHECK(is_gguf(folder / "x.gguf") && !is_gguf(folder / "y.gguf"));
  write_bytes(folder / "y.gguf", with_tensor(tensor("t", {32}, type_iq4_nl, 0), 18));
  try {
    GgufTensors({folder / "y.gguf"});
    CHECK(!"it threw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_DTYPE && contains(error.what(), "\"t\"") && contains(error.what(), "IQ4_NL") &&
          contains(error.what(), "llama-quantize"));
  }
  write_bytes<Bytes>(folder / "z", "GGU");
  CHECK(!is_gguf(folder / "z"));
  CHECK_THROWS(GgufTensors({folder / "z"}), E_FORMAT);
  CHECK_THROWS(GgufTensors({folder / "none"}), E_MISSING);
  CHECK_THROWS(GgufTensors(std::vector<std::string>{}), E_ARGUMENT);
}

CASE("a split model: all parts, in order, of one model") {
  const ScratchFolder folder;
  const auto part = [&](const std::string& name, int number, int count, int tensors, const std::string& tensor_name) {
    Sketch sketch;
    sketch.keys = {key("split.no", GgufType::u16, raw<uint16_t>(static_cast<uint16_t>(number))),
                   key("split.count", GgufType::u16, raw<uint16_t>(static_cast<uint16_t>(count))),
                   key("split.tensors.count", GgufType::i32, raw<int32_t>(tensors))};
    sketch.tensors = {tensor(tensor_name, {8}, type_f32, 0)};
    sketch.data = 32;
    write_bytes(folder / name, sketch.bytes());
    return folder / name;
  };
  const std::string one = part("1", 0, 2, 2, "a"), two = part("2", 1, 2, 2, "b"), same = part("3", 1, 2, 2, "a"),
                    more = part("4", 0, 2, 3, "a");
  CHECK(GgufTensors({one, two}).names() == (std::vector<std::string>{"a", "b"}));
  CHECK_THROWS(GgufTensors({one}), E_FORMAT);
  CHECK_THROWS(GgufTensors({two, one}), E_FORMAT);
  CHECK_THROWS(GgufTensors({one, one}), E_FORMAT);
  CHECK_THROWS(GgufTensors({one, same}), E_FORMAT);
  CHECK_THROWS(GgufTensors({more, two}), E_FORMAT);
  CHECK_THROWS(GgufTensors({one, two, two}), E_FORMAT);
  const std::string whole = part("5", 0, 1, 1, "a");
  CHECK(GgufTensors({whole}).names().size() == 1);
  CHECK(GgufTensors({part("6", 0, 0, 1, "a")}).names().size() == 1);  // some tools write so of a whole model
}

CASE("fuzz: every truncation is refused, random changes are refused or still in bounds") {
  const Bytes good = sample().bytes();
  const size_t needed = good.size() - 27;  // what is missing behind is the last tensor's padding
  for (size_t length = 0; length < good.size(); ++length) CHECK(verdict(good.substr(0, length)).empty() == (length >= needed));
  const Philox draw{7, 0};
  int accepted = 0;
  for (uint64_t round = 0; round < 50000; ++round) {
    std::vector<uint8_t> changed(good.begin(), good.end());
    const auto words = draw(round), more = draw(round + (1ull << 32));
    for (uint32_t i = 0; i <= words[3] % 3; ++i) {
      const size_t place = words[i] % (good.size() - 128);
      if (more[i] % 8 == 0) {  // a whole number at an edge of its range
        const uint64_t edges[] = {UINT64_MAX, 1ull << 63, 1ull << 32, 0, (1ull << 61) + 1};
        const uint64_t edge = edges[more[i] / 8 % 5];
        std::memcpy(changed.data() + place, &edge, std::min<size_t>(8, changed.size() - place));
      } else {
        changed[place] ^= static_cast<uint8_t>(1u << (words[i] >> 29));
      }
    }
    try {
      const GgufHeader header = parse_gguf_header(changed.data(), changed.size(), "test file");
      for (const GgufTensor& tensor : header.tensors) CHECK(tensor.begin <= good.size() && tensor.bytes <= good.size() - tensor.begin);
      size_t letters = 0, numbers = 0;
      for (const GgufKey& one : header.keys) {
        for (const std::string_view part : one.value.strings()) letters += std::count(part.begin(), part.end(), 'a');
        numbers += one.value.numbers().size();
      }
      CHECK(letters + numbers <= good.size());
      ++accepted;
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_FORMAT || error.code() == Code::E_SHAPE || error.code() == Code::E_DTYPE ||
            error.code() == Code::E_VERSION);
    }
  }
  CHECK(accepted > 100 && accepted < 49900);
}

CASE("fuzz: damaged files on disk open or are refused, and what opens can be read") {
  const ScratchFolder folder;
  const auto open = [](const std::string& path) { return GgufTensors({path}); };
  CHECK(read_damaged(sample().bytes(), folder / "y", open) > 0);
}

CASE("canary: a changed offset, shape or count is noticed") {
  Bytes bytes = sample().bytes();
  const size_t place = bytes.find(tensor("c", {5}, type_i8, 96)) + 8 + 1 + 4;
  bytes[place] = 6;  // six bytes fit as well; 40 do not
  CHECK(verdict(bytes).empty());
  bytes[place] = 40;
  CHECK(!verdict(bytes).empty());
}

TEST_MAIN()
