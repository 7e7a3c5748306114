// Where an adapter's factors lie, what they begin with, and how the segments of a pass find them.
#include <cmath>
#include <set>

#include "base/philox.h"
#include "golden_model.h"
#include "harness.h"
#include "model/pair_table.h"

using namespace fedlora;

namespace {
/// hidden 10, intermediate 30, q 24, k and v 8; modules "0.q", "0.k", … "1.down".
Description two_layers() {
  Description d;
  d.hidden = 10, d.intermediate = 30, d.heads = 6, d.kv_heads = 2, d.head_dim = 4;
  for (const char* prefix : {"0.", "1."}) d.layers.push_back(llama_block(d, prefix, {"q", "k", "v", "o", "gate", "up", "down"}));
  return d;
}

/// Given in another order than the model's: the layout is the model's.
const std::vector<AdapterLayer> three{{"1.down", 2, 0.5f, 0.25f}, {"0.k", 3, 2.0f, 0}, {"1.q", 4, 1.0f, 0.5f}};

std::string refusal(const std::vector<AdapterLayer>& layers, Code code) {
  try {
    AdapterMap(two_layers(), layers);
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "";
}
}  // namespace

CASE("the layout by hand: in forward order A [R,K], then B [N,R]") {
  const AdapterMap map(two_layers(), three);
  const TensorLayout want[] = {
      {"base_model.model.0.k.lora_A.weight", Part::lora_A, 3, 10, 0},
      {"base_model.model.0.k.lora_B.weight", Part::lora_B, 8, 3, 30},
      {"base_model.model.1.q.lora_A.weight", Part::lora_A, 4, 10, 54},
      {"base_model.model.1.q.lora_B.weight", Part::lora_B, 24, 4, 94},
      {"base_model.model.1.down.lora_A.weight", Part::lora_A, 2, 30, 190},
      {"base_model.model.1.down.lora_B.weight", Part::lora_B, 10, 2, 250},
  };
  CHECK(map.layout().size() == std::size(want));
  for (size_t i = 0; i < std::size(want); ++i) {
    const TensorLayout& got = map.layout()[i];
    CHECK(got.name == want[i].name && got.part == want[i].part && got.size() == want[i].rows * want[i].columns);
    CHECK(got.rows == want[i].rows && got.columns == want[i].columns && got.offset == want[i].offset);
  }
  CHECK(map.size() == 270);
  CHECK(Adapter(map).values.size() == 270);
  const AdapterSlot &k = map.slot(0, linear_k), &down = map.slot(1, linear_down);
  CHECK(k.rank == 3 && k.scaling == 2 && k.dropout == 0 && k.A == 0 && k.B == 30);
  CHECK(down.rank == 2 && down.scaling == 0.5f && down.dropout == 0.25f && down.A == 190 && down.B == 250);
  CHECK(map.slot(0, linear_q).rank == 0 && map.slot(0, linear_down).rank == 0 && map.slot(1, linear_k).rank == 0);
}

CASE("what is out of range, named twice or not a layer is refused; the bounds themselves are not") {
  const auto contains = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(contains(refusal({{"0.q", 0, 1, 0}}, Code::E_ARGUMENT), "rank of 0.q is 0"));
  CHECK(contains(refusal({{"0.q", 4097, 1, 0}}, Code::E_ARGUMENT), "rank of 0.q is 4097"));
  CHECK(contains(refusal({{"0.q", 1, 1, 1}}, Code::E_ARGUMENT), "dropout of 0.q is 1"));
  CHECK(contains(refusal({{"0.q", 1, 1, -0.1f}}, Code::E_ARGUMENT), "dropout of 0.q is -0.1"));
  CHECK(contains(refusal({{"0.q", 1, 1, NAN}}, Code::E_ARGUMENT), "dropout of 0.q"));
  CHECK(contains(refusal({{"0.q", 1, INFINITY, 0}}, Code::E_ARGUMENT), "scaling of 0.q"));
  CHECK(contains(refusal({{"0.q", 1, 1, 0}, {"0.q", 2, 1, 0}}, Code::E_ARGUMENT), "0.q is adapted twice"));
  CHECK(contains(refusal({{"0.q", 1, 1, 0}, {"2.q", 1, 1, 0}, {"2.k", 1, 1, 0}}, Code::E_MISSING), "(and 1 more)"));
  CHECK(contains(refusal({{"0.q", 1, 1, 0}, {"2.q", 1, 1, 0}}, Code::E_MISSING), "2.q (and 0 more)"));
  CHECK(contains(refusal({{"0.q", 1, 1, 0}, {"2.q", 1, 1, 0}}, Code::E_MISSING), "; 1 of the adapted layers"));
  CHECK(AdapterMap(two_layers(), {{"0.q", 4096, 1, 0}}).slot(0, linear_q).rank == 4096);
  CHECK(AdapterMap(two_layers(), {{"0.q", 1, 1, 0.99f}}).slot(0, linear_q).rank == 1);
  CHECK(AdapterMap(two_layers(), {}).size() == 0);
}

CASE("initialised: A uniform in ±1/√K from (seed, slot, element), B zero") {
  Adapter adapter{AdapterMap(two_layers(), three)};
  std::fill(adapter.values.span().begin(), adapter.values.span().end(), 7.0f);
  adapter.initialize(11);
  const auto check = [&](int64_t begin, int64_t count, int64_t K, uint64_t slot) {
    const float bound = 1.0f / std::sqrt(static_cast<float>(K));
    float least = 0, most = 0;
    for (int64_t j = 0; j < count; ++j) {
      const float value = adapter.values.span()[static_cast<size_t>(begin + j)];
      const float u = uniform_f32(Philox{11, slot}(static_cast<uint64_t>(j) / 4)[static_cast<size_t>(j) % 4]);
      CHECK(value == bound * (2 * u - 1));
      CHECK(value >= -bound && value < bound);
      least = std::min(least, value), most = std::max(most, value);
    }
    CHECK(least < -bound / 2 && most > bound / 2);
  };
  check(0, 30, 10, linear_k);
  check(54, 40, 10, linears_per_layer + linear_q);
  check(190, 60, 30, linears_per_layer + linear_down);
  for (const auto& [begin, end] : {std::pair{30, 54}, {94, 190}, {250, 270}})
    for (int i = begin; i < end; ++i) CHECK(adapter.values.span()[static_cast<size_t>(i)] == 0);
}

CASE("all values are written at once, or none: their number and each of them is looked at, the version grows") {
  Adapter adapter{AdapterMap(two_layers(), {{"0.q", 1, 1, 0}})};
  std::vector<float> values(34, 0.5f);
  adapter.write(values);
  CHECK(std::equal(values.begin(), values.end(), adapter.values.span().begin()) && adapter.version == 1);
  std::vector<float> other(34, 2.0f);
  for (size_t place : {size_t{0}, size_t{33}})
    for (float bad : {INFINITY, NAN}) {
      std::vector<float> broken = other;
      broken[place] = bad;
      CHECK_THROWS(adapter.write(broken), E_NONFINITE);
    }
  CHECK_THROWS(adapter.write(std::span(other).first(33)), E_SHAPE);
  CHECK(std::equal(values.begin(), values.end(), adapter.values.span().begin()) && adapter.version == 1);
}

namespace {
/// Ranks 2, 0 and 3 beside the three pairs: 2·10 + 8·2 values of 0.k, 3·30 + 10·3 of 1.down.
Residual residual_of(const AdapterMap& map, float first = 1) {
  std::vector<float> values(156, 0.5f);
  values.front() = first;
  return Residual(ResidualMap(map, {2, 0, 3}), values);
}
}  // namespace

CASE("a residual's layout by hand: the layers that have one, A_res [P,K], then B_res [N,P]") {
  const AdapterMap adapter(two_layers(), three);
  const ResidualMap map(adapter, {2, 0, 3});
  const TensorLayout want[] = {
      {"base_model.model.0.k.residual_A.weight", Part::residual_A, 2, 10, 0},
      {"base_model.model.0.k.residual_B.weight", Part::residual_B, 8, 2, 20},
      {"base_model.model.1.down.residual_A.weight", Part::residual_A, 3, 30, 36},
      {"base_model.model.1.down.residual_B.weight", Part::residual_B, 10, 3, 126},
  };
  CHECK(map.layout().size() == std::size(want) && map.size() == 156);
  for (size_t i = 0; i < std::size(want); ++i) {
    const TensorLayout& got = map.layout()[i];
    CHECK(got.name == want[i].name && got.part == want[i].part);
    CHECK(got.rows == want[i].rows && got.columns == want[i].columns && got.offset == want[i].offset);
  }
  CHECK(map.slot(1, linear_down).rank == 3 && map.slot(1, linear_down).A == 36 && map.slot(1, linear_down).B == 126);
  CHECK(map.slot(1, linear_q).rank == 0 && map.slot(0, linear_q).rank == 0 && map.slot(0, linear_k).rank == 2);
  CHECK(ResidualMap(adapter, {0, 0, 0}).size() == 0);
  CHECK(ResidualMap(adapter, {4093, 4092, 4094}).ranks()[2] == 4094);
  CHECK_THROWS(ResidualMap(adapter, {2, 3}), E_SHAPE);
  CHECK_THROWS(ResidualMap(adapter, {2, 0, 3, 0}), E_SHAPE);
  CHECK_THROWS(ResidualMap(adapter, {2, -1, 3}), E_ARGUMENT);
  CHECK_THROWS(ResidualMap(adapter, {4094, 0, 3}), E_ARGUMENT);
  try {
    ResidualMap(adapter, {0, 4093, 3});
    CHECK(!"it threw");
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_ARGUMENT);
    CHECK(std::string(error.what()).ends_with("is 4093, expected 0 to 4092: with the trained rank at most 4096"));
  }
  CHECK(most_frozen_ranks(map, two_layers()) == 3);
  const AdapterMap both(two_layers(), {{"0.k", 3, 2.0f, 0}, {"0.v", 3, 2.0f, 0}, {"1.down", 2, 1, 0}});
  CHECK(most_frozen_ranks(ResidualMap(both, {2, 2, 3}), two_layers()) == 4 &&
        most_frozen_ranks(ResidualMap(both, {2, 2, 7}), two_layers()) == 7);
}

CASE("a residual is taken whole or not at all, reaches the pairs, and raises the version") {
  Adapter adapter{AdapterMap(two_layers(), three)};
  std::vector<float> values(156, 0.5f);
  CHECK_THROWS(Residual(ResidualMap(adapter, {2, 0, 3}), std::span(values).first(155)), E_SHAPE);
  values.back() = NAN;
  CHECK_THROWS(Residual(ResidualMap(adapter, {2, 0, 3}), values), E_NONFINITE);
  values.back() = INFINITY;
  CHECK_THROWS(Residual(ResidualMap(adapter, {2, 0, 3}), values), E_NONFINITE);
  CHECK(adapter.residual() == nullptr);
  const AdapterSegment segment{0, 5, &adapter};
  CHECK(PairTable({&segment, 1}, two_layers(), true).call(0, attention_in)[0].pairs[1].frozen.rank == 0);

  adapter.set_residual(std::make_shared<Residual>(residual_of(adapter)));
  CHECK(adapter.version == 1);
  const float* base = adapter.residual()->values().data();
  const PairTable table({&segment, 1}, two_layers(), true);
  const LoraPair &k = table.call(0, attention_in)[0].pairs[1], &q = table.call(1, attention_in)[0].pairs[0],
                 &down = table.call(1, mlp_out)[0].pairs[0];
  CHECK(k.rank == 3 && k.frozen.rank == 2 && k.frozen.A == base && k.frozen.B == base + 20);
  CHECK(q.rank == 4 && q.frozen.rank == 0 && q.frozen.A == nullptr);
  CHECK(down.frozen.rank == 3 && down.frozen.A == base + 36 && down.frozen.B == base + 126);
  adapter.set_residual(nullptr);
  CHECK(adapter.version == 2 && adapter.residual() == nullptr);
}

CASE("the calls of a pass: each group's pairs of each segment, with gradients, dropout and streams of their own") {
  const Description d = two_layers();
  const Adapter first{AdapterMap(d, three)}, second{AdapterMap(d, {{"1.q", 6, 3.0f, 0}, {"1.v", 1, 1.0f, 0}})};
  std::vector<float> gradient(first.values.size());
  const AdapterSegment segments[] = {{0, 5, &first, gradient.data(), 1, true, 77, 9}, {5, 8, &second, nullptr, 1, false, 78, 9}};
  const PairTable table(segments, d, true), still(segments, d, false);
  for (int64_t layer : {0, 1})
    for (const LinearGroup& group : linear_groups) {
      CHECK(table.call(layer, group).size() == 2);
      for (const Segment& segment : table.call(layer, group)) CHECK(segment.pairs.size() == d.layers[0].group(group).size());
    }
  const Segment &mine = table.call(1, attention_in)[0], &other = table.call(1, attention_in)[1];
  CHECK(mine.row_begin == 0 && mine.row_end == 5 && other.row_begin == 5 && other.row_end == 8);
  const LoraPair& q = mine.pairs[0];
  CHECK(q.rank == 4 && q.scaling == 1 && q.A == first.values.data() + 54 && q.B == first.values.data() + 94);
  CHECK(q.d_A == gradient.data() + 54 && q.d_B == gradient.data() + 94);
  CHECK(q.dropout == 0.5f && q.dropout_seed == 77 && q.dropout_stream == (9u << 20 | (linears_per_layer + linear_q)));
  CHECK(mine.pairs[1].rank == 0 && mine.pairs[1].A == nullptr && mine.pairs[1].d_A == nullptr && mine.pairs[2].rank == 0);
  CHECK(other.pairs[0].rank == 6 && other.pairs[0].scaling == 3 && other.pairs[0].A == second.values.data() &&
        other.pairs[0].d_A == nullptr && other.pairs[0].d_B == nullptr && other.pairs[0].dropout == 0);
  CHECK(other.pairs[1].rank == 0 && other.pairs[2].rank == 1);
  CHECK(table.call(0, attention_in)[0].pairs[1].rank == 3 && table.call(0, attention_in)[1].pairs[1].rank == 0);
  CHECK(table.call(1, mlp_out)[0].pairs[0].rank == 2 && table.call(1, mlp_out)[0].pairs[0].dropout == 0.25f);
  CHECK(table.call(1, attention_out)[0].pairs[0].rank == 0 && table.call(1, mlp_in)[0].pairs[1].rank == 0);
  CHECK(still.call(1, attention_in)[0].pairs[0].rank == 4 && still.call(1, attention_in)[0].pairs[0].d_A == nullptr);

  // Tensors that no range meets get no gradient; backward ends at the lowest that one meets.
  const auto wants = [&](std::vector<Range> ranges, int64_t layer, LinearGroup group, size_t pair) {
    const AdapterSegment part{0, 5, &first, gradient.data(), 1, false, 0, 0, ranges};
    const PairTable of({&part, 1}, d, true);
    const LoraPair& p = of.call(layer, group)[0].pairs[pair];
    CHECK(p.d_A == nullptr || p.d_A == gradient.data() + (p.A - first.values.data()));
    CHECK(p.d_B == nullptr || p.d_B == gradient.data() + (p.B - first.values.data()));
    return std::tuple(p.d_A != nullptr, p.d_B != nullptr, of.lowest_trained());
  };
  CHECK(wants({{30, 54}}, 0, attention_in, 1) == std::tuple(false, true, int64_t{0}));  // k: A [0, 30), B [30, 54)
  CHECK(wants({{29, 30}}, 0, attention_in, 1) == std::tuple(true, false, int64_t{0}));
  CHECK(wants({{29, 31}}, 0, attention_in, 1) == std::tuple(true, true, int64_t{0}));
  CHECK(wants({{94, 190}}, 0, attention_in, 1) == std::tuple(false, false, int64_t{1}));  // B of the upper layer's q
  CHECK(wants({{94, 190}}, 1, attention_in, 0) == std::tuple(false, true, int64_t{1}));
  CHECK(wants({{269, 270}}, 1, mlp_out, 0) == std::tuple(false, true, int64_t{1}));
  CHECK(table.lowest_trained() == 0 && still.lowest_trained() == 2);

  std::set<uint64_t> streams;  // of one micro-batch and the next: all differ
  const Golden golden("llama");
  const Adapter all = golden.adapter();
  for (uint64_t micro_batch : {uint64_t{0}, uint64_t{1}, uint64_t{4096}}) {
    const AdapterSegment segment{0, 1, &all, nullptr, 1, true, 1, micro_batch};
    const PairTable pairs({&segment, 1}, golden.description, true);
    for (int64_t layer : {0, 1})
      for (const LinearGroup& group : linear_groups)
        for (const LoraPair& pair : pairs.call(layer, group).front().pairs) streams.insert(pair.dropout_stream);
  }
  CHECK(streams.size() == 3 * 2 * linears_per_layer);
}

CASE("the largest rank of each layer among the segments") {
  const Description d = two_layers();
  const Adapter first{AdapterMap(d, three)}, second{AdapterMap(d, {{"1.q", 6, 1, 0}, {"0.k", 2, 1, 0}, {"0.down", 5, 1, 0}})};
  const AdapterSegment segments[] = {{0, 5, &first}, {5, 8, &second}};
  CHECK((largest_ranks(segments, 2) == std::vector<int>{0, 3, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0, 2}));
  CHECK((largest_ranks({}, 2) == std::vector<int>(14)));
}

TEST_MAIN()
