// GGUF files that are written are what the reader reads; tensors under other names and in another order of rows.
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "harness.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "io/renamed.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "scratch_folder.h"

using namespace fedlora;

namespace {

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::vector<float> count_up(size_t count) {
  std::vector<float> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  return numbers;
}

}  // namespace

CASE("what is written is read: keys, shapes, types, bytes, padding") {
  const ScratchFolder folder;
  const std::string path = folder / "x.gguf";
  const std::vector<GgufField> fields = {gguf_text("general.architecture", "llama"),
                                         gguf_whole("a.number", 4000000000u),
                                         {"a.list", GgufType::string, true, 2, gguf_string("x") + gguf_string("")},
                                         {"a.float", GgufType::f32, false, 1, raw(0.5f)}};
  const std::vector<float> numbers = count_up(6);
  const std::vector<uint8_t> blocks(36, 7);
  {
    GgufWriter writer(path, fields, {{"first", DType::f32, {2, 3}}, {"second", DType::q4_0, {2, 32}}, {"third", DType::f32, {1}}});
    writer.write(numbers.data(), 8);
    writer.write(numbers.data() + 2, 16);
    CHECK_THROWS(writer.write(blocks.data(), 37), E_ARGUMENT);
    writer.write(blocks.data(), 36);
    CHECK_THROWS(writer.finish(), E_ARGUMENT);
    writer.write(numbers.data(), 4);
    CHECK_THROWS(writer.write(numbers.data(), 1), E_ARGUMENT);
    CHECK(folder.entries() == 1 && !is_gguf(path));  // the temporary file alone
    writer.finish();
  }
  const GgufTensors file({path});
  CHECK(file.names() == (std::vector<std::string>{"first", "second", "third"}));
  CHECK(file.header().whole("a.number") == 4000000000u && file.header().find("a.float")->numbers() == std::vector<double>{0.5});
  CHECK(file.header().find("a.list")->strings() == (std::vector<std::string_view>{"x", ""}));
  CHECK(file.get("first").shape == (std::vector<int64_t>{2, 3}) && std::memcmp(file.get("first").data, numbers.data(), 24) == 0);
  CHECK(file.get("second").dtype == DType::q4_0 && std::memcmp(file.get("second").data, blocks.data(), 36) == 0);
  CHECK(*static_cast<const float*>(file.get("third").data) == 0.0f);
}

CASE("names, shapes and keys that no reader takes are refused before anything is written") {
  const ScratchFolder folder;
  const std::string path = folder / "x.gguf";
  const auto declare = [&](std::vector<TensorSpec> tensors, std::vector<GgufField> fields = {}) {
    GgufWriter(path, fields, std::move(tensors));
  };
  declare({{std::string(63, 'n'), DType::f32, {1}}});
  CHECK_THROWS(declare({{std::string(64, 'n'), DType::f32, {1}}}), E_ARGUMENT);
  CHECK_THROWS(declare({{"", DType::f32, {1}}}), E_ARGUMENT);
  CHECK_THROWS(declare({{"a", DType::f32, {1}}, {"a", DType::f32, {1}}}), E_ARGUMENT);
  CHECK_THROWS(declare({{"a", DType::f32, {}}}), E_SHAPE);
  CHECK_THROWS(declare({{"a", DType::f32, {0}}}), E_SHAPE);
  CHECK_THROWS(declare({{"a", DType::f32, {1, 1, 1, 1, 1}}}), E_SHAPE);
  CHECK_THROWS(declare({{"a", DType::f32, {int64_t{1} << 40, int64_t{1} << 40}}}), E_SHAPE);
  CHECK_THROWS(declare({{"a", DType::q4_0, {2, 48}}}), E_SHAPE);
  CHECK_THROWS(declare({{"a", DType::boolean, {1}}}), E_DTYPE);
  CHECK_THROWS(declare({}, {gguf_text("a", ""), gguf_text("a", "")}), E_ARGUMENT);
  CHECK_THROWS(declare({}, {gguf_text("", "")}), E_ARGUMENT);
  CHECK(folder.entries() == 0);
}

CASE("rows in another order and back: outer × a × b blocks of rows") {
  const std::vector<float> rows = count_up(2 * 3 * 4 * 5);  // 24 rows of 5
  std::vector<float> there(rows.size()), back(rows.size());
  const RowSwap swap = {2, 3, 2};  // blocks of two rows
  const auto turn = [](const std::vector<float>& in, const RowSwap& how, std::vector<float>& out) {
    swap_rows(reinterpret_cast<const uint8_t*>(in.data()), 24, 5 * sizeof(float), how, reinterpret_cast<uint8_t*>(out.data()), "t");
  };
  turn(rows, swap, there);
  const int order[] = {0, 4, 8, 2, 6, 10};  // of the first outer block: (i, j) at 2i + j goes to 3j + i
  for (int block = 0; block < 6; ++block) CHECK(there[static_cast<size_t>(5 * 2 * block)] == static_cast<float>(5 * order[block]));
  turn(there, swap.back(), back);
  CHECK(back == rows && there != rows);
  CHECK(!RowSwap{}.any() && swap.any() && !(RowSwap{4, 1, 8}).any());
  CHECK_THROWS(turn(rows, {5, 1, 1}, there), E_SHAPE);
  CHECK_THROWS(turn(rows, {0, 1, 1}, there), E_SHAPE);
  CHECK_THROWS(turn(rows, {int64_t{1} << 40, int64_t{1} << 40, 1}, there), E_SHAPE);
}

CASE("a source under other names: rows put right while they are read, released and read again") {
  const ScratchFolder folder;
  const std::vector<float> numbers = count_up(8);
  write_safetensors(folder / "x", {{{"q", DType::f32, {4, 2}}, {}, numbers.data()}, {{"kept", DType::f32, {8}}, {}, numbers.data()}}, {});
  const auto open = [&](const std::vector<StoredTensor>& stored) {
    return RenamedTensors(std::make_unique<SafetensorsFile>(folder / "x"), stored);
  };
  const RenamedTensors source = open({{"q_proj", "q", {1, 2, 2}}, {"absent", "none", {}}});
  CHECK(source.names() == (std::vector<std::string>{"q_proj", "kept"}) && source.has("q_proj") && !source.has("q") &&
        !source.has("absent"));
  CHECK(source.describe("q_proj").shape == (std::vector<int64_t>{4, 2}));
  for (int again = 0; again < 2; ++again) {
    const float* rows = static_cast<const float*>(source.get("q_proj").data);
    CHECK(rows[0] == 0 && rows[2] == 4 && rows[4] == 2 && rows[6] == 6);
    CHECK(source.get("q_proj").data == rows);
    source.release("q_proj");
  }
  CHECK(static_cast<const float*>(source.get("kept").data)[7] == 7);
  CHECK_THROWS(source.get("q"), E_MISSING);
  CHECK_THROWS(open({{"same", "q", {}}, {"same", "kept", {}}}), E_FORMAT);
  const RenamedTensors unfit = open({{"q", "q", {3, 2, 2}}});
  for (int again = 0; again < 2; ++again) CHECK_THROWS(unfit.get("q"), E_SHAPE);
}

CASE("canary: another order of rows is noticed") {
  const std::vector<float> rows = count_up(6);
  std::vector<float> one(6), other(6);
  swap_rows(reinterpret_cast<const uint8_t*>(rows.data()), 6, 4, {1, 2, 3}, reinterpret_cast<uint8_t*>(one.data()), "t");
  swap_rows(reinterpret_cast<const uint8_t*>(rows.data()), 6, 4, {1, 3, 2}, reinterpret_cast<uint8_t*>(other.data()), "t");
  CHECK(one != other && one != rows);
}

TEST_MAIN()
