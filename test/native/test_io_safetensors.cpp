// Reading, judging and writing safetensors files.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "base/philox.h"
#include "damaged_files.h"
#include "harness.h"
#include "io/closest_name.h"
#include "io/plain_tensor.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "scratch_folder.h"

using namespace fedlora;

namespace {

using Bytes = std::vector<uint8_t>;

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

/// A file made of this header text and `data_bytes` zeros.
Bytes file_of(const std::string& header, size_t data_bytes) {
  Bytes bytes(8 + header.size() + data_bytes);
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(header.size() >> (8 * i));
  std::copy(header.begin(), header.end(), bytes.begin() + 8);
  return bytes;
}

SafetensorsHeader parse(const Bytes& bytes) { return parse_safetensors_header(bytes.data(), bytes.size(), "test file"); }

/// The code that the header is refused with, and the message; "" when it is accepted.
std::string verdict(const std::string& header, size_t data_bytes) {
  try {
    parse(file_of(header, data_bytes));
  } catch (const Error& error) {
    return std::string(code_name(error.code())) + " " + error.what();
  }
  return "";
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<NamedTensor> sample() {
  std::vector<NamedTensor> tensors;
  tensors.push_back({{"b", DType::u8, {3}}, {1, 2, 3}, nullptr});
  tensors.push_back({{"a", DType::f32, {2, 1}}, {0, 0, 128, 63, 0, 0, 0, 64}, nullptr});
  tensors.push_back({{"empty", DType::bf16, {0, 5}}, {}, nullptr});
  tensors.push_back({{"scalar", DType::i64, {}}, {7, 0, 0, 0, 0, 0, 0, 0}, nullptr});
  return tensors;
}

}  // namespace

CASE("a written file reads back: names in order, types, shapes, bytes, metadata") {
  const ScratchFolder folder;
  const std::string path = folder / "x.safetensors";
  const Metadata metadata = {{"format", "pt"}, {"quoted \"key\"\n", "\xc3\xa9\x01"}};
  write_safetensors(path, sample(), metadata);
  const SafetensorsFile file(path);
  CHECK(file.names() == (std::vector<std::string>{"b", "a", "empty", "scalar"}));
  CHECK(file.metadata() == metadata);
  for (const NamedTensor& tensor : sample()) {
    const TensorView view = file.get(tensor.spec.name);
    CHECK(view.dtype == tensor.spec.dtype && view.shape == tensor.spec.shape && view.bytes == tensor.owned.size());
    CHECK(view.bytes == 0 || std::memcmp(view.data, tensor.owned.data(), view.bytes) == 0);
    CHECK(view.elements() * static_cast<int64_t>(dtype_bytes(view.dtype)) == static_cast<int64_t>(view.bytes));
  }
  const Bytes bytes = read_bytes(path);
  CHECK(bytes[0] % 8 == 0 && file.has("a") && !file.has("c"));
  write_safetensors(folder / "none.safetensors", {}, {});
  CHECK(SafetensorsFile(folder / "none.safetensors").names().empty());
}

CASE("who may read and write a written file is the umask's to say") {
  const ScratchFolder folder;
  const mode_t before = ::umask(0027);
  write_safetensors(folder / "x", sample(), {});
  ::umask(before);
  struct stat info{};
  CHECK(::stat((folder / "x").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0640);
}

CASE("an adapter written by PEFT is reproduced byte for byte") {
  const ScratchFolder folder;
  for (const std::string& original : {std::string(FEDLORA_GOLDEN "/models/llama/adapter/adapter_model.safetensors"),
                                      std::string(FEDLORA_GOLDEN "/models/llama-bnb-int8/model.safetensors")}) {
    const SafetensorsFile file(original);
    std::vector<NamedTensor> tensors;
    for (const std::string& name : file.names()) {
      const TensorView view = file.get(name);
      tensors.push_back({{name, view.dtype, view.shape}, {}, view.data});
    }
    std::reverse(tensors.begin(), tensors.end());
    sort_as_safetensors(tensors);
    write_safetensors(folder / "copy.safetensors", tensors, file.metadata());
    CHECK(read_bytes(folder / "copy.safetensors") == read_bytes(original));
  }
}

CASE("streaming: pieces in declared order only, and no file before finish") {
  const ScratchFolder folder;
  const std::string path = folder / "x.safetensors";
  const float numbers[4] = {1, 2, 3, 4};
  {
    SafetensorsWriter writer(path, {{"a", DType::f32, {4}}, {"none", DType::f32, {0}}, {"b", DType::f32, {1}}}, {});
    CHECK_THROWS(writer.write("b", numbers, 4), E_ARGUMENT);
    writer.write("a", numbers, 6);
    CHECK_THROWS(writer.write("a", numbers, 11), E_ARGUMENT);
    writer.write("a", reinterpret_cast<const uint8_t*>(numbers) + 6, 10);
    CHECK_THROWS(writer.finish(), E_ARGUMENT);
    writer.write("b", numbers + 3, 4);
    CHECK_THROWS(writer.write("b", numbers, 1), E_ARGUMENT);
    CHECK(!exists(path));
    writer.finish();
    CHECK(exists(path));
  }
  CHECK(std::memcmp(SafetensorsFile(path).get("a").data, numbers, 16) == 0);
  CHECK_THROWS(SafetensorsWriter(path, {{"a", DType::f32, {1}}, {"a", DType::f32, {1}}}, {}), E_ARGUMENT);
  CHECK_THROWS(SafetensorsWriter(path, {{"__metadata__", DType::f32, {1}}}, {}), E_ARGUMENT);
  CHECK_THROWS(SafetensorsWriter(path, {{"a", DType::f32, {-1}}}, {}), E_SHAPE);
  CHECK_THROWS(SafetensorsWriter(folder / "no/such/folder.safetensors", {}, {}), E_IO);
  CHECK(folder.entries() == 1);
}

CASE("an unfinished or failed write leaves the old file and nothing else") {
  const ScratchFolder folder;
  const std::string path = folder / "x.safetensors";
  write_safetensors(path, sample(), {});
  const Bytes before = read_bytes(path);
  {
    SafetensorsWriter unfinished(path, {{"a", DType::f32, {1}}}, {});
  }
  CHECK(read_bytes(path) == before && folder.entries() == 1);

  // The system refuses bytes beyond the limit, as a full disk does.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  CHECK(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const rlimit small = {4096, old.rlim_max};
  CHECK(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  bool refused = false;
  try {
    write_safetensors(path, {{{"big", DType::u8, {1 << 20}}, Bytes(1 << 20), nullptr}}, {});
  } catch (const Error& error) {
    refused = error.code() == Code::E_IO && contains(error.what(), path);
  }
  CHECK(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  CHECK(refused);
  CHECK(read_bytes(path) == before && folder.entries() == 1);
}

CASE("a folder in the target's place: E_IO, and no temporary file stays") {
  const ScratchFolder folder;
  CHECK(::mkdir((folder / "x").c_str(), 0755) == 0);
  CHECK_THROWS(write_safetensors(folder / "x", sample(), {}), E_IO);
  CHECK(folder.entries() == 1);
  CHECK_THROWS(SafetensorsFile(folder / "x"), E_IO);
  CHECK_THROWS(SafetensorsFile(folder / "y"), E_MISSING);
  CHECK(::rmdir((folder / "x").c_str()) == 0);
}

CASE("a wrong header is refused with the right code, naming the tensor") {
  const std::string good = R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  CHECK(verdict(good, 8).empty());
  CHECK(verdict(R"({"t":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"z":{"dtype":"I8","shape":[0],"data_offsets":[4,4]}})", 4).empty());
  const struct {
    const char* header;
    size_t data_bytes;
    const char* code;
  } wrong[] = {
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "E_FORMAT"},    // cut off
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "E_FORMAT"},    // something behind
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "E_FORMAT"},  // hole in front
      {R"({"t":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8, "E_DTYPE"},
      {R"({"t":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}})", 8, "E_DTYPE"},
      {R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "E_SHAPE"},  // bytes ≠ shape × dtype
      {R"({"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "E_SHAPE"},
      {R"({"t":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}})", 8, "E_SHAPE"},
      {R"({"t":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0, "E_SHAPE"},  // overflows to 0
      {R"({"t":{"dtype":"U8","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0, "E_SHAPE"},
      {R"({"t":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":32,"shape":[2],"data_offsets":[0,8]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "E_FORMAT"},  // begin > end
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775800,9223372036854775807]}})", 8, "E_FORMAT"},
      {R"({"t":{"shape":[2],"data_offsets":[0,8]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","data_offsets":[0,8]}})", 8, "E_FORMAT"},
      {R"({"t":{"dtype":"F32","shape":[2]}})", 8, "E_FORMAT"},
      {R"({"t":[]})", 0, "E_FORMAT"},
      {R"({"__metadata__":{"a":1}})", 0, "E_FORMAT"},
      {R"({"__metadata__":[]})", 0, "E_FORMAT"},
  };
  for (const auto& one : wrong) {
    const std::string text = verdict(one.header, one.data_bytes);
    if (!contains(text, one.code)) std::printf("# %s: \"%s\"\n", one.header, text.c_str());
    CHECK(contains(text, one.code) && contains(text, "test file"));
    if (contains(one.header, "\"t\":{")) CHECK(contains(text, "\"t\"") || contains(text, "holds"));
  }
  const auto two = [](const char* u, const char* v) {
    return format_text(R"({"u":{"dtype":"U8","shape":[4],"data_offsets":[%s]},"v":{"dtype":"U8","shape":[4],"data_offsets":[%s]}})", u, v);
  };
  CHECK(verdict(two("4,8", "0,4"), 8).empty());
  CHECK(contains(verdict(two("0,4", "2,6"), 6), "overlap") && contains(verdict(two("0,4", "0,4"), 4), "overlap"));
  CHECK(contains(verdict(two("0,4", "5,9"), 9), "hole"));
  CHECK(contains(verdict(R"({"t":1,"t":1})", 0), "twice"));
  for (const char* text : {"", " {}", "[]", "null", "{", "{}x"}) CHECK(contains(verdict(text, 0), "E_FORMAT"));
}

CASE("a header length beyond the file or beyond 100 MB is refused before anything is read") {
  CHECK_THROWS(parse({}), E_FORMAT);
  CHECK_THROWS(parse(Bytes(7)), E_FORMAT);
  CHECK_THROWS(parse(Bytes(8)), E_FORMAT);
  CHECK_THROWS(parse(Bytes(16, 0xff)), E_FORMAT);
  Bytes bytes = file_of("{}", 0);
  CHECK(parse(bytes).entries.empty());
  const auto said = [](const Bytes& wrong) {
    try {
      parse(wrong);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  bytes[0] = 3;
  CHECK(contains(said(bytes), "claims a header of 3 bytes, but only 2 follow"));
  Bytes huge(100'000'001 + 8, ' ');
  const uint64_t length = 100'000'001;
  std::memcpy(huge.data(), &length, 8);
  CHECK(contains(said(huge), "claims a header of 100000001 bytes, expected at most 100000000"));
}

CASE("shards are one checkpoint; a name in two of them is refused") {
  const ScratchFolder folder;
  write_safetensors(folder / "1", {{{"a", DType::u8, {1}}, {1}, nullptr}}, {{"part", "1"}});
  write_safetensors(folder / "2", {{{"b", DType::u8, {1}}, {2}, nullptr}}, {{"part", "2"}});
  const Checkpoint both({folder / "1", folder / "2"});
  CHECK(both.names() == (std::vector<std::string>{"a", "b"}) && both.files() == 2);
  CHECK(*static_cast<const uint8_t*>(both.get("b").data) == 2 && both.metadata(1)[0].second == "2");
  const auto complaint = [](const Checkpoint& checkpoint) {
    try {
      checkpoint.get("c");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(contains(complaint(both), "not in " + (folder / "1") + " and 1 more; the closest"));
  CHECK(contains(complaint(Checkpoint({folder / "1"})), "not in " + (folder / "1") + "; the closest"));
  CHECK_THROWS(Checkpoint({folder / "1", folder / "1"}), E_FORMAT);
  CHECK_THROWS(Checkpoint(std::vector<std::string>{}), E_ARGUMENT);
  CHECK_THROWS(Checkpoint({folder / "1", folder / "3"}), E_MISSING);
}

CASE("a missing tensor is reported with the closest name") {
  const SafetensorsFile file(FEDLORA_GOLDEN "/models/llama/model.safetensors");
  try {
    file.get("model.layers.1.self_attn.q_porj.weight");
    CHECK(!"it threw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_MISSING && contains(error.what(), "closest name there is \"model.layers.1.self_attn.q_proj.weight\""));
  }
  CHECK_THROWS(file.release("nothing"), E_MISSING);
  CHECK(closest_name("x", {}).empty() && closest_name("abc", {"xyz", "abd", "ab"}) == "abd");
  CHECK(closest_name("abc", {"xyz", "abcde", "xabc"}) == "xabc");   // 3, 2 added, 1 added
  CHECK(closest_name("abcd", {"ad", "bcd", "abXY"}) == "bcd");      // 2 taken away, 1 taken away, 2 changed
  CHECK(closest_name("abc", {"xyabc", "abd"}) == "abd");            // 2 added before, 1 changed
  CHECK(closest_name("kitten", {"sitting", "kit"}) == "sitting");   // 3 and 3: the first of equals
  CHECK(closest_name("abcdef", {"bcdefa", "fedcba"}) == "bcdefa");  // 2 (one moved), 6
}

CASE("plain tensors as float32: every type, by element; what is no number or not finite is refused") {
  const ScratchFolder folder;
  const float one_and_two[] = {1, 2}, damaged[] = {1, NAN};
  const double wide[] = {1, 2};
  const uint16_t halves[] = {0x3c00, 0x4000}, brains[] = {0x3f80, 0x4000}, other[] = {0x3f80, 0x4040}, thirds[] = {0x3f81, 0x4000};
  const int32_t whole[] = {1, 2};
  const std::vector<NamedTensor> tensors = {{{"f32", DType::f32, {2}}, {}, one_and_two},
                                            {{"f64", DType::f64, {2}}, {}, wide},
                                            {{"f16", DType::f16, {2}}, {}, halves},
                                            {{"bf16", DType::bf16, {2}}, {}, brains},
                                            {{"last", DType::bf16, {2}}, {}, other},
                                            {{"first", DType::bf16, {2}}, {}, thirds},
                                            {{"column", DType::f32, {2, 1}}, {}, one_and_two},
                                            {{"nan", DType::f32, {2}}, {}, damaged},
                                            {{"i32", DType::i32, {2}}, {}, whole},
                                            {{"again", DType::i32, {2}}, {}, whole},
                                            {{"none", DType::f32, {0}}, {}, nullptr},
                                            {{"nothing", DType::bf16, {0}}, {}, nullptr}};
  write_safetensors(folder / "x", tensors, {});
  const SafetensorsFile file(folder / "x");
  for (const char* name : {"f32", "f64", "f16", "bf16"}) {
    CHECK(read_vector(file, name) == std::vector<float>({1, 2}));
    CHECK(same_values(file, "f32", name) && same_values(file, name, "bf16"));
  }
  CHECK(read_vector(file, "none").empty() && same_values(file, "none", "nothing"));
  CHECK(!same_values(file, "f32", "last") && !same_values(file, "f32", "first") && !same_values(file, "f32", "column"));
  CHECK(!same_values(file, "bf16", "last") && !same_values(file, "nan", "f64"));
  CHECK(same_values(file, "i32", "again"));  // equal bytes of one type are equal numbers, whatever the type
  CHECK_THROWS(same_values(file, "i32", "f32"), E_DTYPE);
  CHECK_THROWS(read_vector(file, "i32"), E_DTYPE);
  CHECK_THROWS(read_vector(file, "nan"), E_NONFINITE);
}

CASE("released pages leave the process and come back when read") {
  const ScratchFolder folder;
  const size_t size = 8 << 20;
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i >> 12);
  write_safetensors(folder / "x", {{{"t", DType::u8, {static_cast<int64_t>(size)}}, {}, bytes.data()}}, {});
  const SafetensorsFile file(folder / "x");
  const auto file_pages = [] {  // the third number of statm: resident pages backed by files
    long total = 0, resident = 0, shared = 0;
    std::ifstream("/proc/self/statm") >> total >> resident >> shared;
    return shared * ::sysconf(_SC_PAGESIZE);
  };
  const long before = file_pages();
  const TensorView view = file.get("t");
  CHECK(std::memcmp(view.data, bytes.data(), size) == 0);
  const long touched = file_pages();
  file.release("t");
  const long after = file_pages();
  CHECK(touched - before > (6 << 20) && touched - after > (6 << 20));
  CHECK(std::memcmp(view.data, bytes.data(), size) == 0);
}

CASE("fuzz: every truncation is refused, random flips are refused or still in bounds") {
  const ScratchFolder folder;
  write_safetensors(folder / "x", sample(), {{"format", "pt"}});
  const Bytes good = read_bytes(folder / "x");
  parse(good);
  for (size_t length = 0; length < good.size(); ++length) {
    bool refused = false;
    try {
      parse(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(length)));
    } catch (const Error&) {
      refused = true;
    }
    CHECK(refused);
  }
  const Philox draw{7, 0};
  int accepted = 0;
  for (uint64_t round = 0; round < 50000; ++round) {
    Bytes flipped = good;
    const auto words = draw(round);
    for (uint32_t i = 0; i <= words[3] % 3; ++i) flipped[words[i] % good.size()] ^= static_cast<uint8_t>(1u << (words[i] >> 29));
    try {
      const SafetensorsHeader header = parse(flipped);
      for (const SafetensorsEntry& entry : header.entries) CHECK(entry.begin <= good.size() && entry.bytes <= good.size() - entry.begin);
      ++accepted;
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_FORMAT || error.code() == Code::E_SHAPE || error.code() == Code::E_DTYPE);
    }
  }
  CHECK(accepted > 0 && accepted < 50000);
}

CASE("fuzz: damaged files on disk open or are refused, and what opens can be read") {
  const ScratchFolder folder;
  write_safetensors(folder / "x", sample(), {{"format", "pt"}});
  const Bytes good = read_bytes(folder / "x");
  CHECK(read_damaged(good, folder / "y", [](const std::string& path) { return SafetensorsFile(path); }) > 0);
}

CASE("canary: a changed byte or name is noticed") {
  const ScratchFolder folder;
  std::vector<NamedTensor> tensors = sample();
  write_safetensors(folder / "x", tensors, {});
  tensors[0].owned[1] ^= 1;
  write_safetensors(folder / "y", tensors, {});
  CHECK(read_bytes(folder / "x") != read_bytes(folder / "y"));
  CHECK(!verdict(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 9).empty());
  tensors[0].owned.pop_back();
  CHECK_THROWS(write_safetensors(folder / "z", tensors, {}), E_SHAPE);
  CHECK(!exists(folder / "z"));
}

TEST_MAIN()
