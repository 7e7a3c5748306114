// GPTQ, AWQ and FP8 checkpoints against the numbers that torch and a packer of few words give; parts that are damaged, missing or foreign.
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "harness.h"
#include "io/packed_checkpoint.h"
#include "io/safetensors.h"
#include "memory_source.h"

using namespace fedlora;

namespace {

const std::string golden = FEDLORA_GOLDEN "/packed/weights.safetensors";

/// The parts of a weight of the golden file.
std::unique_ptr<MemorySource> parts_of(const std::string& stem) {
  auto parts = std::make_unique<MemorySource>();
  const SafetensorsFile file(golden);
  for (const std::string& name : file.names()) {
    if (!name.starts_with(stem + ".") || name.ends_with(".expected")) continue;
    const TensorView view = file.get(name);
    parts->add(name, view.dtype, view.shape, view.data, view.bytes);
  }
  return parts;
}

PackedCheckpoint opened(const PackedWeights& packed) { return PackedCheckpoint(std::make_unique<SafetensorsFile>(golden), packed); }

bool equals_golden(const PackedCheckpoint& checkpoint, const std::string& stem) {
  const TensorView got = checkpoint.get(stem + ".weight"), want = checkpoint.get(stem + ".expected");
  return got.dtype == DType::f32 && got.shape == want.shape && got.bytes == want.bytes && std::memcmp(got.data, want.data, got.bytes) == 0;
}

/// The code and the words of what reading `stem`.weight after `damage` throws.
std::string thrown(const std::string& stem, const PackedWeights& packed, const std::function<void(MemorySource&)>& damage) {
  auto source = parts_of(stem);
  damage(*source);
  try {
    PackedCheckpoint(std::move(source), packed).get(stem + ".weight");
  } catch (const Error& error) {
    return std::string(code_name(error.code())) + " " + error.what();
  }
  return "nothing";
}

bool says(const std::string& text, const char* code, const char* words) {
  const bool right = text.starts_with(code) && text.find(words) != std::string::npos;
  if (!right) std::printf("# %s\n", text.c_str());
  return right;
}

}  // namespace

CASE("four-bit weights are the numbers that were packed") {
  for (const char* stem : {"gptq", "gptq_act"}) CHECK(equals_golden(opened({Packing::gptq}), stem));
  CHECK(equals_golden(opened({Packing::gptq_v2}), "gptq_v2"));
  CHECK(equals_golden(opened({Packing::awq}), "awq"));
}

CASE("another packing gives other numbers") {
  CHECK(!equals_golden(opened({Packing::gptq}), "gptq_v2"));
  CHECK(!equals_golden(opened({Packing::gptq_v2}), "gptq"));
}

CASE("fp8 weights are the numbers of their blocks rows or tensor") {
  for (const char* stem : {"block", "row", "one"}) CHECK(equals_golden(opened({Packing::fp8, 8, 16}), stem));
}

CASE("every e4m3 code is the number of torch") {
  const SafetensorsFile file(golden);
  const float* want = static_cast<const float*>(file.get("e4m3").data);
  for (int code = 0; code < 256; ++code) {
    float expected;
    std::memcpy(&expected, want + code, sizeof expected);
    const float got = e4m3_value(static_cast<uint8_t>(code));
    CHECK(std::isnan(expected) ? std::isnan(got) : got == expected && std::signbit(got) == std::signbit(expected));
  }
}

CASE("parts stand for their weight and other tensors for themselves") {
  auto source = parts_of("gptq");
  source->tensors["norm"] = {DType::f32, {1}, std::vector<uint8_t>(4)};
  MemorySource& inner = *source;
  const PackedCheckpoint checkpoint(std::move(source), {Packing::gptq});
  CHECK(checkpoint.names() == (std::vector<std::string>{"gptq.weight", "norm"}));
  CHECK(checkpoint.has("gptq.weight") && checkpoint.has("norm") && !checkpoint.has("gptq.scales") && !checkpoint.has("other"));
  const TensorView described = checkpoint.describe("gptq.weight");
  CHECK(described.shape == (std::vector<int64_t>{16, 64}) && described.data == nullptr && described.bytes == 16 * 64 * 4);
  checkpoint.get("gptq.weight");
  checkpoint.release("gptq.weight");
  CHECK(std::set<std::string>(inner.released.begin(), inner.released.end()) ==
        (std::set<std::string>{"gptq.g_idx", "gptq.qweight", "gptq.qzeros", "gptq.scales"}));
}

CASE("a packing that nothing has is refused") {
  CHECK_THROWS(PackedCheckpoint(parts_of("awq"), {Packing::fp8}), E_FORMAT);
  CHECK_THROWS(PackedCheckpoint(parts_of("block"), {Packing::awq}), E_FORMAT);
}

CASE("without a packing all is as stored") {
  const PackedCheckpoint checkpoint = opened({Packing::none});
  CHECK(checkpoint.has("gptq.qweight") && !checkpoint.has("gptq.weight"));
}

CASE("a group may be left out where rows are in order") {
  auto source = parts_of("gptq");
  source->tensors.erase("gptq.g_idx");
  const PackedCheckpoint checkpoint(std::move(source), {Packing::gptq});
  const SafetensorsFile file(golden);
  const TensorView got = checkpoint.get("gptq.weight");
  CHECK(std::memcmp(got.data, file.get("gptq.expected").data, got.bytes) == 0);
}

CASE("damaged four-bit weights are refused by the part") {
  const auto gptq = [](const std::function<void(MemorySource&)>& damage) { return thrown("gptq", {Packing::gptq}, damage); };
  CHECK(says(gptq([](MemorySource& d) { d.tensors.erase("gptq.scales"); }), "E_MISSING", "no \"gptq.scales\""));
  CHECK(says(gptq([](MemorySource& d) { d.tensors.erase("gptq.qzeros"); }), "E_MISSING", "no \"gptq.qzeros\""));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.qweight"].dtype = DType::f32; }), "E_DTYPE", "\"gptq.qweight\" has dtype F32"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.qweight"].shape = {128}; }), "E_SHAPE", "\"gptq.qweight\" is [128]"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.qzeros"].shape = {8, 1}; }), "E_SHAPE", "\"gptq.qzeros\" is [8, 1]"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.scales"].shape = {16, 4}; }), "E_SHAPE",
             "\"gptq.scales\" is [16, 4], expected [4, 16]"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.scales"].shape = {64}; }), "E_SHAPE", "\"gptq.scales\" is [64]"));
  const auto three_groups = [](MemorySource& d) { d.tensors["gptq.qzeros"].shape = {3, 2}, d.tensors["gptq.scales"].shape = {3, 16}; };
  CHECK(says(gptq(three_groups), "E_SHAPE", "\"gptq.qzeros\" has 3 groups for a weight [16, 64]"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.g_idx"].shape = {8, 8}, d.tensors["gptq.g_idx"].dtype = DType::f32; }), "E_SHAPE",
             "g_idx"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.g_idx"].bytes[0] = 4; }), "E_FORMAT", "element 0 of \"gptq.g_idx\" is 4"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.g_idx"].bytes[3] = 0x80; }), "E_FORMAT", "expected a group from 0 to 3"));
  CHECK(says(gptq([](MemorySource& d) { d.tensors["gptq.scales"].bytes[1] = 0x7c; }), "E_NONFINITE", "gptq.scales"));
}

CASE("damaged fp8 weights are refused by the part") {
  const auto block = [](const std::function<void(MemorySource&)>& damage) { return thrown("block", {Packing::fp8, 8, 16}, damage); };
  CHECK(says(block([](MemorySource& d) { d.tensors.erase("block.weight_scale_inv"); }), "E_MISSING", "neither"));
  CHECK(says(block([](MemorySource& d) { d.tensors["block.weight"].bytes[41] = 0x7f; }), "E_NONFINITE",
             "element [1, 1] of \"block.weight\""));
  CHECK(says(thrown("block", {Packing::fp8}, [](MemorySource&) {}), "E_SHAPE", "blocks of 128 x 128"));
  CHECK(says(thrown("row", {Packing::fp8}, [](MemorySource& d) { d.tensors["row.weight_scale"].shape = {4, 5}; }), "E_SHAPE",
             "each of 20 rows"));
}

TEST_MAIN()
