// The memory of a pass: every buffer has the room that its shape says, none lies on another but where the plan says so, and the plan's
// bytes are their sum. The tables of rotations and the cache of keys and values.
#include <algorithm>
#include <cmath>

#include "harness.h"
#include "model/kv_cache.h"
#include "model/rope_table.h"
#include "model/step_buffers.h"

using namespace fedlora;

namespace {

/// hidden 10, intermediate 30, q 24, k and v 8, heads normed.
Description small(bool normed, int64_t intermediate = 30) {
  Description d;
  d.hidden = 10, d.intermediate = intermediate, d.heads = 6, d.kv_heads = 2, d.head_dim = 4;
  const NormSpec norm{normed ? "norm" : "", d.head_dim};
  d.layers.resize(2);
  for (BlockSpec& block : d.layers) block.attention.q_norm = block.attention.k_norm = norm;
  return d;
}

struct Room {
  const void* begin;
  int64_t bytes;
};

/// What the buffers must hold, from the shapes that step_buffers.h tells. [3 rows supervised]
std::vector<Room> rooms(const Description& d, const StepShape& shape, const StepBuffers& b) {
  const int64_t M = shape.tokens, q = 24, kv = 8, I = d.intermediate, width = shape.compute == Compute::bf16 ? 2 : 4;
  const bool all = shape.recompute == Recompute::all;
  std::vector<Room> list;
  const auto activation = [&](const void* begin, int64_t columns) { list.push_back({begin, M * columns * width}); };
  const auto f32 = [&](const void* begin, int64_t count) { list.push_back({begin, 4 * count}); };
  for (size_t l = 0; l < b.blocks.size(); ++l) {
    const SavedBlock& block = b.blocks[l];
    const bool keeps = shape.training && !all, keeps_mlp = shape.training && shape.recompute == Recompute::none;
    if (shape.training && all) f32(block.x_entry, M * 10);
    if (keeps || l == 0) {
      for (Activation x : {block.x1, block.x2}) activation(x, 10);
      for (float* rstd : {block.rstd1, block.rstd2}) f32(rstd, M);
      activation(block.q, q), activation(block.o, q), activation(block.k, kv), activation(block.v, kv);
      f32(block.lse, M * 6 * 2);
      if (d.layers[l].attention.q_norm.present()) {
        activation(block.q_raw, q), activation(block.k_raw, kv);
        f32(block.q_rstd, M * 6), f32(block.k_rstd, M * 2);
      }
    }
    if (keeps_mlp || l == 0) activation(block.gate, I), activation(block.up, I);
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      const int rank = shape.ranks[l * linears_per_layer + static_cast<size_t>(linear)];
      CHECK((block.h[linear] != nullptr) == (rank > 0));
      if (rank > 0) activation(block.h[linear], rank + rank % 2);
    }
  }
  f32(b.x, M * 10), f32(b.rstd_final, M);
  activation(b.normed, 10), activation(b.delta, 10), activation(b.hidden, I);
  if (shape.training) {
    activation(b.x_final, 10), activation(b.d_input, std::max<int64_t>(I, 24));
    activation(b.d_q, q), activation(b.d_k, kv), activation(b.d_v, kv);
    CHECK(b.d_x == b.x && b.d_delta == b.delta);
  }
  list.push_back({b.head_rows, 3 * 10 * width});
  f32(b.losses, 3);
  list.push_back({b.correct, 3});
  return list;
}

StepShape shape_of(bool training, Recompute recompute, Compute compute) {
  StepShape shape;
  shape.tokens = 7;
  shape.supervised = 3;
  shape.training = training;
  shape.recompute = recompute;
  shape.compute = compute;
  shape.ranks = {0, 3, 0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 0};
  return shape;
}
}  // namespace

CASE("every buffer has its room, aligned, beside the others; plan and placing agree") {
  for (const bool norm : {false, true})
    for (const auto& [intermediate, tokens] : {std::pair<int64_t, int64_t>{30, 7}, {12, 7}, {30, 8}})  // 8: whole lines
      for (const Compute compute : {Compute::f32, Compute::bf16})
        for (const auto& [training, recompute] :
             {std::pair{false, Recompute::none}, {true, Recompute::none}, {true, Recompute::gate_up}, {true, Recompute::all}}) {
          const Description d = small(norm, intermediate);
          StepShape shape = shape_of(training, recompute, compute);
          shape.tokens = tokens;
          const StepBuffers plan = StepBuffers::place(d, shape, nullptr);
          AlignedBuffer<uint8_t> arena(plan.total_bytes);
          const StepBuffers buffers = StepBuffers::place(d, shape, arena.data());
          CHECK(buffers.total_bytes == plan.total_bytes && buffers.saved_bytes == plan.saved_bytes &&
                buffers.workspace_bytes == plan.workspace_bytes);
          CHECK(plan.x == nullptr && plan.blocks[1].q == nullptr);
          std::vector<Room> all = rooms(d, shape, buffers);
          std::sort(all.begin(), all.end(), [](const Room& a, const Room& b) { return std::less<>()(a.begin, b.begin); });
          const uint8_t* end = arena.data();  // rooms without a gap, each of whole cache lines
          for (const Room& room : all) {
            CHECK(room.begin == end);
            end = static_cast<const uint8_t*>(room.begin) + (room.bytes + 255) / 256 * 256;
          }
          CHECK(end == arena.data() + plan.total_bytes);
          CHECK(plan.saved_bytes + plan.workspace_bytes == plan.total_bytes);
          CHECK((plan.saved_bytes > 0) == training);
        }
}

CASE("what backward reads is counted as saved, the rest as workspace") {
  const Description d = small(false);
  const auto bytes = [&](Recompute recompute) { return StepBuffers::place(d, shape_of(true, recompute, Compute::f32), nullptr); };
  const auto lines = [](int64_t count) { return static_cast<size_t>((count * 4 + 255) / 256 * 256); };
  const size_t attention = 2 * lines(70) + 2 * lines(7) + 2 * lines(168) + 2 * lines(56) + lines(84), mlp = 2 * lines(210);
  const size_t h = lines(28) + lines(56) + lines(14) + lines(14), last = lines(70);
  CHECK(bytes(Recompute::none).saved_bytes == 2 * attention + 2 * mlp + h + last);
  CHECK(bytes(Recompute::gate_up).saved_bytes == 2 * attention + mlp + h + last);
  CHECK(bytes(Recompute::all).saved_bytes == attention + mlp + 2 * lines(70) + h + last);
  for (const Recompute recompute : {Recompute::gate_up, Recompute::all})
    CHECK(bytes(recompute).workspace_bytes == bytes(Recompute::none).workspace_bytes);
}

CASE("canary: a plan of one row less is too small") {
  StepShape shape = shape_of(true, Recompute::none, Compute::f32);
  const size_t bytes = StepBuffers::place(small(false), shape, nullptr).total_bytes;
  --shape.tokens;
  CHECK(StepBuffers::place(small(false), shape, nullptr).total_bytes < bytes);
}

CASE("strides of h are even and hold the rank") {
  for (int rank = 0; rank < 70; ++rank) CHECK(h_stride(rank) % 8 == 0 && h_stride(rank) >= rank && h_stride(rank) <= rank + 7);
}

CASE("rope tables: cosine and sine of position × frequency in float32, times the factor; they grow and keep what they told") {
  RopeTable table({{1.0f, 0.25f, 0.01f}, 1.5f}, host_memory());
  CHECK(table.bytes() == 0);
  for (int64_t positions : {1, 256, 257, 300, 5}) {
    table.reserve(positions);
    CHECK(table.bytes() == static_cast<size_t>(positions == 1 || positions == 256 ? 256 : 512) * 3 * 4 * 2);
    for (int64_t position = 0; position < positions; ++position)
      for (int64_t i = 0; i < 3; ++i) {
        const float angle = static_cast<float>(position) * (i == 0 ? 1.0f : i == 1 ? 0.25f : 0.01f);
        CHECK(table.cosine()[position * 3 + i] == static_cast<float>(std::cos(static_cast<double>(angle))) * 1.5f);
        CHECK(table.sine()[position * 3 + i] == static_cast<float>(std::sin(static_cast<double>(angle))) * 1.5f);
      }
  }
}

CASE("a cache has a place of its own for key and value of each layer and row") {
  const Description d = small(false);
  for (const Compute compute : {Compute::f32, Compute::bf16}) {
    KvCache cache(d, host_memory(), compute, 5);
    const int64_t row = 8 * (compute == Compute::bf16 ? 2 : 4);
    std::vector<const uint8_t*> rows;
    for (int64_t layer : {0, 1})
      for (const bool key : {true, false})
        for (int64_t r = 0; r < 5; ++r) {
          rows.push_back(static_cast<const uint8_t*>(key ? cache.key(layer, r) : cache.value(layer, r)));
          if (r > 0) CHECK(rows.back() - rows[rows.size() - 2] == row);
          if (r == 0) CHECK(reinterpret_cast<uintptr_t>(rows.back()) % 64 == 0);
        }
    std::sort(rows.begin(), rows.end());
    for (size_t i = 1; i < rows.size(); ++i) CHECK(rows[i] - rows[i - 1] >= row);
    CHECK(rows.back() + row <= static_cast<const uint8_t*>(cache.key(0, 0)) + cache.bytes());
    CHECK(cache.capacity() == 5 && cache.length == 0);
  }
  CHECK(KvCache().capacity() == 0);
}

TEST_MAIN()
