// A pass leaves nothing behind: what fails, is cancelled or computes nonsense changes no bit of the passes after it. Keys, values and
// logits of a cached pass are those of a whole one.
#include <array>
#include <atomic>
#include <cmath>
#include <map>
#include <set>

#include "backend/cpu/cpu.h"
#include "backend/forwarding.h"
#include "book_backend.h"
#include "golden_engine.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

namespace {

/// A backend with a fuse: its `fuse`th operator from now on throws.
class Fragile : public Forwarding {
 public:
  explicit Fragile(std::unique_ptr<Backend> next) : Forwarding(std::move(next)) {}
  int64_t fuse = 0;  // 0: none
  std::vector<int64_t> calls = std::vector<int64_t>(static_cast<size_t>(Op::count));

 private:
  void enter(Op op) override {
    ++calls[static_cast<size_t>(op)];
    if (fuse > 0 && --fuse == 0) fail(Code::E_MEMORY, "the fuse has blown");
  }
};

/// Short rows of a golden family: 11 tokens, 8 of them supervised, in two segments of adapters of their own.
struct Bench {
  Golden golden;
  Fragile* backend;
  std::shared_ptr<Engine> engine;
  Adapter first, second;
  Batch batch;
  std::vector<int32_t> prompt{5, 17, 200, 3};

  explicit Bench(const std::string& family, std::unique_ptr<Backend> below = make_cpu_backend(Compute::f32, 1))
      : golden(family), first(golden.adapter()), second(golden.adapter()) {
    auto fragile = std::make_unique<Fragile>(std::move(below));
    backend = fragile.get();
    engine = golden_engine(family, golden.description, std::move(fragile));
    for (float& value : second.values.span()) value = -0.5f * value;
    const std::vector<int32_t> ids{7, 1, 90, 33, 12, 250, 8, 61, 2, 140, 77}, lengths{6, 5};
    std::vector<int32_t> labels = ids;
    labels[2] = not_supervised;
    batch = make_batch(golden.description, ids, labels, lengths);
  }

  Transformer& transformer() { return *engine->transformer; }
  int64_t vocabulary() const { return golden.description.vocabulary; }

  using Numbers = std::vector<float>;
  Numbers accumulate(Recompute recompute) {
    Numbers gradient(2 * first.values.size());
    const AdapterSegment segments[] = {{0, 6, &first, gradient.data(), 0.25f, true, 3, 1},
                                       {6, 11, &second, gradient.data() + first.values.size(), 0.5f, true, 4, 2}};
    for (const LossSums& sums : transformer().accumulate(batch, segments, recompute)) note(gradient, sums);
    return gradient;
  }
  Numbers evaluate() {
    const AdapterSegment segment{0, batch.tokens(), &first};
    Numbers numbers;
    note(numbers, transformer().evaluate(batch, {&segment, 1}));
    return numbers;
  }
  Numbers logits() {
    const AdapterSegment segment{0, batch.tokens(), &first};
    Numbers numbers(static_cast<size_t>(batch.tokens() * vocabulary()));
    transformer().logits(batch, {&segment, 1}, numbers.data());
    return numbers;
  }
  Numbers prefill(KvCache& cache) {
    Numbers numbers(static_cast<size_t>(vocabulary()));
    transformer().prefill(prompt, &first, cache, numbers.data());
    return numbers;
  }
  Numbers decode(KvCache& cache, int32_t id) {
    Numbers numbers(static_cast<size_t>(vocabulary()));
    transformer().decode(id, &first, cache, numbers.data());
    return numbers;
  }
  /// The prompt and two tokens more.
  Numbers generate() {
    KvCache cache = transformer().make_cache(6);
    Numbers all = prefill(cache);
    for (int32_t id : {44, 9})
      for (float number : decode(cache, id)) all.push_back(number);
    return all;
  }
  static constexpr size_t kinds = 6;
  /// The numbers of one kind of pass.
  Numbers pass(size_t kind) {
    switch (kind) {
      case 0:
        return accumulate(Recompute::none);
      case 1:
        return accumulate(Recompute::gate_up);
      case 2:
        return accumulate(Recompute::all);
      case 3:
        return evaluate();
      case 4:
        return logits();
      default:
        return generate();
    }
  }
  /// Every kind of pass.
  std::array<Numbers, kinds> everything() {
    std::array<Numbers, kinds> all;
    for (size_t kind = 0; kind < kinds; ++kind) all[kind] = pass(kind);
    return all;
  }

  static void note(Numbers& numbers, const LossSums& sums) {
    for (double value :
         {sums.loss, static_cast<double>(sums.correct), static_cast<double>(sums.supervised), static_cast<double>(sums.tokens)})
      numbers.push_back(static_cast<float>(value));
  }
};

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Runs `pass` with a fuse of 1, 2, 3, … operators until it comes through; after each failure `again`. Gives the number of failures.
int64_t blow_everywhere(Bench& bench, const std::function<void()>& pass, const std::function<void()>& again) {
  for (int64_t fuse = 1;; ++fuse) {
    bench.backend->fuse = fuse;
    try {
      pass();
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_MEMORY && bench.backend->fuse == 0);
      again();
      continue;
    }
    CHECK(bench.backend->fuse > 0);
    bench.backend->fuse = 0;
    return fuse - 1;
  }
}
}  // namespace

CASE("a pass knows its shape: rows, what is supervised, ranks, how it computes; with a cache one row reaches the head") {
  const Bench bench("llama");
  const auto backend = make_cpu_backend(Compute::bf16, 1);
  Workspace workspace(host_memory());
  workspace.ropes.emplace_back(bench.golden.description.ropes[0], host_memory());
  const AdapterSegment segment{0, 11, &bench.first};
  const Weights& weights = bench.engine->transformer->weights();
  const Pass pass(weights, *backend, workspace, bench.batch, {&segment, 1}, {.training = true, .recompute = Recompute::all});
  CHECK(pass.shape.tokens == 11 && pass.shape.supervised == 8 && pass.shape.training && pass.shape.recompute == Recompute::all);
  CHECK(pass.shape.compute == Compute::bf16);
  CHECK(pass.shape.ranks == std::vector<int>(static_cast<size_t>(2 * linears_per_layer), 8));
  CHECK(pass.M() == 11 && pass.layers() == 2 && pass.rows == Rows::many && pass.cache == nullptr);
  KvCache cache(bench.golden.description, host_memory(), Compute::bf16, 300);
  const Pass cached(weights, *backend, workspace, bench.batch, {}, {.cache = &cache});
  CHECK(cached.shape.supervised == 1 && !cached.shape.training && cached.shape.recompute == Recompute::none);
  CHECK(cached.block(1).k == cache.key(1, 0) && cached.block(0).v == cache.value(0, 0));
  CHECK(workspace.ropes[0].bytes() == 512 * 16 * 4 * 2);  // for every row that the cache may get
}

CASE("whichever operator of a pass throws, the passes after it have the bits of undisturbed ones") {
  // Operators that only some of them ask for.
  const std::map<Op, std::set<std::string>> users{{Op::row_norm_forward, {"qwen3", "olmo2"}},
                                                  {Op::row_norm_backward, {"qwen3", "olmo2"}},
                                                  {Op::residual_add, {"olmo2", "phi", "bloom"}},
                                                  {Op::rms_norm_forward, {"llama", "qwen3", "olmo2", "granite", "phi3"}},
                                                  {Op::rms_norm_rebuild, {"llama", "qwen3", "granite", "phi3"}},
                                                  {Op::rms_norm_backward, {"llama", "qwen3", "olmo2", "granite", "phi3"}},
                                                  {Op::glu_forward, {"llama", "qwen3", "olmo2", "granite", "phi3"}},
                                                  {Op::glu_backward, {"llama", "qwen3", "olmo2", "granite", "phi3"}},
                                                  {Op::rope, {"llama", "qwen3", "olmo2", "granite", "phi3", "phi"}},
                                                  {Op::layer_norm_forward, {"phi", "opt", "bloom"}},
                                                  {Op::layer_norm_rebuild, {"phi", "opt", "bloom"}},
                                                  {Op::layer_norm_backward, {"phi", "opt", "bloom"}},
                                                  {Op::activate_forward, {"phi", "opt", "bloom"}},
                                                  {Op::activate_backward, {"phi", "opt", "bloom"}},
                                                  {Op::embedding_add, {"opt"}},
                                                  {Op::scale, {"granite"}},
                                                  {Op::take_columns, {"phi3", "bloom"}},
                                                  {Op::put_columns, {"phi3", "bloom"}}};
  for (const char* family : {"llama", "qwen3", "olmo2", "granite", "phi3", "phi", "opt", "bloom"}) {
    Bench bench(family);
    const auto everything = bench.everything();
    // One kind after each failure, in turn: an operator is met in many passes of many families, and so each kind after it.
    size_t next = 0;
    const auto unchanged = [&] {
      CHECK(same(bench.pass(next), everything[next]));
      next = (next + 1) % Bench::kinds;
    };
    int64_t failures = 0;
    for (size_t kind = 0; kind < Bench::kinds; ++kind) failures += blow_everywhere(bench, [&] { bench.pass(kind); }, unchanged);
    CHECK(failures > 200);
    for (size_t kind = 0; kind < Bench::kinds; ++kind) CHECK(same(bench.pass(kind), everything[kind]));
    for (Op op = Op{0}; op < Op::sum_of_squares; op = static_cast<Op>(static_cast<int>(op) + 1)) {
      const auto some = users.find(op);
      const bool unused = some != users.end() && some->second.count(family) == 0;
      CHECK((bench.backend->calls[static_cast<size_t>(op)] > 0) == !unused);
    }
  }
}

CASE("a token that failed can be tried again, a prompt too; the cache is as long as before") {
  Bench bench("qwen3");
  KvCache undisturbed = bench.transformer().make_cache(5);
  const std::vector<float> prompt = bench.prefill(undisturbed), token = bench.decode(undisturbed, 44);
  KvCache cache = bench.transformer().make_cache(5);
  CHECK(blow_everywhere(bench, [&] { bench.prefill(cache); }, [&] { CHECK(cache.length == 0); }) > 20);
  CHECK(same(bench.prefill(cache), prompt));
  std::vector<float> got;
  CHECK(blow_everywhere(bench, [&] { got = bench.decode(cache, 44); }, [&] { CHECK(cache.length == 4); }) > 20);
  CHECK(same(got, token));
  CHECK(cache.length == 5);
}

CASE("a pass reads nothing that another left: after one full of NaN the bits are those of a fresh engine") {
  Bench fresh("qwen3"), bench("qwen3");
  Adapter nonsense = bench.golden.adapter();
  std::fill(nonsense.values.span().begin(), nonsense.values.span().end(), NAN);
  const Batch golden = make_batch(bench.golden.description, bench.golden.ids, bench.golden.labels, bench.golden.lengths);
  const auto spoil = [&] {
    std::vector<float> gradient(nonsense.values.size());
    const AdapterSegment segment{0, golden.tokens(), &nonsense, gradient.data()};
    CHECK(std::isnan(bench.transformer().accumulate(golden, {&segment, 1}, Recompute::none).front().loss));
    CHECK(std::isnan(gradient.front()));
  };
  for (size_t kind = 0; kind < Bench::kinds; ++kind) {
    spoil();
    CHECK(same(bench.pass(kind), fresh.pass(kind)));
  }
}

CASE("canary: one bit of an adapter is seen in every kind of pass") {
  Bench bench("qwen3");
  const auto before = bench.everything();
  bench.first.values.span()[0] *= 1.01f;
  const auto after = bench.everything();
  for (size_t kind = 0; kind < Bench::kinds; ++kind) CHECK(!same(before[kind], after[kind]));
}

CASE("recomputing gate and up, or whole blocks, changes no bit of loss and gradient") {
  for (const char* family :
       {"llama", "llama3-rope",   "mistral", "qwen2",      "qwen3",      "gemma", "gemma2",   "gemma3", "granite", "olmo2", "olmo3",
        "phi3",  "phi3-longrope", "smollm3", "ministral3", "starcoder2", "phi",   "gpt-neox", "opt",    "gpt2",    "bloom"}) {
    Bench bench(family);
    const std::vector<float> kept = bench.accumulate(Recompute::none);
    CHECK(same(bench.accumulate(Recompute::gate_up), kept));
    CHECK(same(bench.accumulate(Recompute::all), kept));
  }
}

CASE("what is not kept is computed again: gate and up of each block, or all of it that backward reads") {
  Bench bench("qwen3");
  const int64_t layers = static_cast<int64_t>(bench.golden.description.layers.size());
  /// Calls of each operator in one pass.
  const auto calls = [&](Recompute recompute) {
    std::fill(bench.backend->calls.begin(), bench.backend->calls.end(), 0);
    bench.accumulate(recompute);
    return bench.backend->calls;
  };
  const auto none = calls(Recompute::none), gate_up = calls(Recompute::gate_up), all = calls(Recompute::all);
  const auto more = [&](const std::vector<int64_t>& with, Op op) { return with[static_cast<size_t>(op)] - none[static_cast<size_t>(op)]; };
  CHECK(more(gate_up, Op::rms_norm_rebuild) == layers && more(gate_up, Op::lora_linear_forward) == layers);
  CHECK(more(gate_up, Op::rms_norm_forward) == 0 && more(gate_up, Op::attention_forward) == 0);
  CHECK(more(all, Op::rms_norm_forward) == 2 * layers && more(all, Op::lora_linear_forward) == 3 * layers);
  CHECK(more(all, Op::attention_forward) == layers && more(all, Op::glu_forward) == 0);
}

CASE("a raised flag ends every kind of pass before its first block, forward and backward look at it before each") {
  Bench bench("llama");
  const auto everything = bench.everything();
  std::atomic<bool> cancel = true;
  CHECK(bench.transformer().set_cancel_flag(&cancel) == nullptr);
  KvCache cache = bench.transformer().make_cache(6);
  for (const std::function<void()>& pass :
       std::vector<std::function<void()>>{[&] { bench.accumulate(Recompute::none); }, [&] { bench.evaluate(); }, [&] { bench.logits(); },
                                          [&] { bench.prefill(cache); }, [&] { bench.decode(cache, 3); }}) {
    bool cancelled = false;
    try {
      pass();
    } catch (const Cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK(cache.length == 0);
  }
  cancel = false;
  for (size_t kind = 0; kind < Bench::kinds; ++kind) CHECK(same(bench.pass(kind), everything[kind]));
  CHECK(bench.transformer().set_cancel_flag(nullptr) == &cancel);
}

CASE("cancelled within a pass: no further block begins") {
  /// Raises the flag at the first of an operator that stands at the end of a block, or of the head.
  struct Raising : Forwarding {
    explicit Raising(Op at) : Forwarding(make_cpu_backend(Compute::f32, 1)), at(at) {}
    Op at;
    std::atomic<bool> raised = false;
    std::vector<Op> after;  // the operators that were called once it was
    void enter(Op op) override {
      if (raised) after.push_back(op);
      if (op == at) raised = true;
    }
  };
  Golden golden("llama");
  const Adapter adapter = golden.adapter();
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  // forward: the rest of the first block; at the loss: the head's gradient; backward: the rest of the last block
  for (const auto& [at, rest] : {std::pair{Op::attention_forward, 5}, {Op::linear_cross_entropy, 3}, {Op::attention_backward, 5}}) {
    auto owned = std::make_unique<Raising>(at);
    Raising& backend = *owned;
    const auto engine = golden_engine("llama", golden.description, std::move(owned));
    engine->transformer->set_cancel_flag(&backend.raised);
    std::vector<float> gradient(adapter.values.size());
    const AdapterSegment segment{0, batch.tokens(), &adapter, gradient.data()};
    bool cancelled = false;
    try {
      engine->transformer->accumulate(batch, {&segment, 1}, Recompute::none);
    } catch (const Cancelled&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK(static_cast<int>(backend.after.size()) == rest);
  }
}

CASE("over the book, prompt and tokens have the bits of the whole sequence: logits of each last row") {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3"}) {
    Bench bench(family, std::make_unique<BookBackend>());
    std::vector<int32_t> ids = bench.prompt;
    for (int32_t id : {44, 9, 130, 7, 8, 200, 31, 2}) ids.push_back(id);
    const auto length = static_cast<int32_t>(ids.size());
    const Batch whole = make_batch(bench.golden.description, ids, {}, {&length, 1});
    const AdapterSegment segment{0, length, &bench.first};
    std::vector<float> want(static_cast<size_t>(length * bench.vocabulary()));
    bench.transformer().logits(whole, {&segment, 1}, want.data());
    KvCache cache = bench.transformer().make_cache(length);
    std::vector<float> got = bench.prefill(cache);
    for (int32_t row = 3; row < length; ++row) {
      if (row > 3) got = bench.decode(cache, ids[static_cast<size_t>(row)]);
      CHECK(std::memcmp(got.data(), &want[static_cast<size_t>(row * bench.vocabulary())], got.size() * sizeof(float)) == 0);
    }
  }
}

CASE("LongRoPE: rows one longer than the original positions are turned by the long frequencies, all of them, and none before") {
  const Golden golden("phi3-longrope");
  const auto engine = golden_engine("phi3-longrope", golden.description);
  const int64_t original = golden.description.ropes[0].original_positions;
  const auto logits = [&](int64_t length) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>((7 * i + 3) % golden.description.vocabulary));
    const auto whole = static_cast<int32_t>(length);
    const Batch batch = make_batch(golden.description, ids, {}, {&whole, 1});
    std::vector<float> numbers(static_cast<size_t>(length * golden.description.vocabulary));
    engine->transformer->logits(batch, {}, numbers.data());
    numbers.resize(static_cast<size_t>((original - 1) * golden.description.vocabulary));  // of the rows that all lengths have
    return numbers;
  };
  const std::vector<float> shorter = logits(original - 1), at = logits(original), beyond = logits(original + 1);
  CHECK(same(at, shorter));
  CHECK(!same(beyond, at));
  CHECK(same(logits(original + 2), beyond));
}

CASE("without an adapter: no segment, or one of zeros, are the same base") {
  Bench bench("llama");
  Adapter zero = bench.golden.adapter();
  std::fill(zero.values.span().begin(), zero.values.span().end(), 0.0f);
  const AdapterSegment segment{0, bench.batch.tokens(), &zero};
  std::vector<float> bare(static_cast<size_t>(bench.batch.tokens() * bench.vocabulary())), with = bare;
  bench.transformer().logits(bench.batch, {}, bare.data());
  bench.transformer().logits(bench.batch, {&segment, 1}, with.data());
  CHECK(same(bare, with));
  KvCache one = bench.transformer().make_cache(5), two = bench.transformer().make_cache(5);
  std::vector<float> a(static_cast<size_t>(bench.vocabulary())), b = a;
  bench.transformer().prefill(bench.prompt, nullptr, one, a.data());
  bench.transformer().prefill(bench.prompt, &zero, two, b.data());
  CHECK(same(a, b));
  bench.transformer().decode(3, nullptr, one, a.data());
  bench.transformer().decode(3, &zero, two, b.data());
  CHECK(same(a, b));
}

CASE("a cache that is full, or too short for the prompt, is refused and stays as it is") {
  Bench bench("llama");
  KvCache cache = bench.transformer().make_cache(5);
  bench.prefill(cache);
  bench.decode(cache, 44);
  CHECK(cache.length == 5 && cache.capacity() == 5);
  CHECK_THROWS(bench.decode(cache, 9), E_INTERNAL);
  CHECK(cache.length == 5);
  KvCache small = bench.transformer().make_cache(3);
  CHECK_THROWS(bench.prefill(small), E_INTERNAL);
  CHECK(small.length == 0);
  KvCache exact = bench.transformer().make_cache(4);
  bench.prefill(exact);
  CHECK(exact.length == 4);
  CHECK_THROWS(bench.decode(exact, 9), E_INTERNAL);
}

CASE("losses are summed by segment in row order, tokens and hits counted; nothing supervised trains nothing") {
  Bench bench("llama");
  const AdapterSegment segments[] = {{0, 6, &bench.first}, {6, 11, &bench.second}};
  const std::vector<LossSums> sums = bench.transformer().accumulate(bench.batch, segments, Recompute::none);
  std::vector<LossSums> rows;
  const LossSums whole = bench.transformer().evaluate(bench.batch, segments, &rows);
  CHECK(sums[0].supervised == 4 && sums[1].supervised == 4 && whole.supervised == 8);
  CHECK(sums[0].tokens == 6 && sums[1].tokens == 5 && whole.tokens == 11);
  CHECK_LE(std::fabs(sums[0].loss + sums[1].loss - whole.loss), 8 * 0x1p-53 * whole.loss);  // 8 terms in another grouping
  CHECK(sums[0].correct + sums[1].correct == whole.correct);
  CHECK(rows.size() == 2);  // each segment is a row
  for (size_t i = 0; i < 2; ++i) {
    CHECK(rows[i].loss == sums[i].loss && rows[i].supervised == sums[i].supervised && rows[i].tokens == sums[i].tokens);
    CHECK(rows[i].correct == sums[i].correct);
  }
  std::vector<float> logits(static_cast<size_t>(11 * bench.vocabulary()));
  bench.transformer().logits(bench.batch, segments, logits.data());
  int64_t correct = 0;
  for (size_t i = 0; i < bench.batch.supervised.size(); ++i) {
    const float* row = &logits[static_cast<size_t>(bench.batch.supervised[i] * bench.vocabulary())];
    correct += std::max_element(row, row + bench.vocabulary()) - row == bench.batch.targets[i];
  }
  CHECK(correct == whole.correct);
  const std::vector<int32_t> ids{4, 5, 6}, length{3};
  const Batch bare = make_batch(bench.golden.description, ids, {}, length);
  std::vector<float> gradient(bench.first.values.size());
  const AdapterSegment segment{0, 3, &bench.first, gradient.data()};
  const LossSums none = bench.transformer().accumulate(bare, {&segment, 1}, Recompute::none).front();
  CHECK(none.loss == 0 && none.supervised == 0 && none.correct == 0 && none.tokens == 3);
  CHECK(same(gradient, std::vector<float>(gradient.size())));
}

TEST_MAIN()
