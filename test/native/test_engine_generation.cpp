/// A generation over the book: it ends for the right reason, a failure anywhere costs neither a token nor the passes after it, the adapter
/// stays the one that it began with.
#include "backend/forwarding.h"
#include "book_backend.h"
#include "golden_engine.h"
#include "harness.h"
#include "engine/generation.h"
#include "training/session.h"

using namespace fedlora;

namespace {

/// The book, with a fuse: its `fuse`th operator from now on throws.
class Fragile : public Forwarding {
 public:
  Fragile() : Forwarding(std::make_unique<BookBackend>()) {}
  int64_t fuse = 0;      // 0: none
  bool one_row = false;  // canary: linear layers compute their first row alone

  void lora_linear_forward(int64_t M, ConstActivation x, std::span<LinearTarget> targets, std::span<const Segment> segments) override {
    const Segment first{0, 1, segments.empty() ? std::span<const LoraPair>() : segments[0].pairs};
    if (one_row)
      Forwarding::lora_linear_forward(1, x, targets, {&first, 1});
    else
      Forwarding::lora_linear_forward(M, x, targets, segments);
  }

 private:
  void enter(Op) override {
    if (fuse > 0 && --fuse == 0) fail(Code::E_MEMORY, "the fuse has blown");
  }
};

struct Bench {
  Golden golden{"llama"};
  std::shared_ptr<Engine> engine;
  Fragile* backend = nullptr;
  Adapter adapter = golden.adapter();
  std::vector<int32_t> prompt, greedy;  // greedy: what comes after the prompt

  Bench() {
    auto fragile = std::make_unique<Fragile>();
    backend = fragile.get();
    engine = golden_engine("llama", golden.description, std::move(fragile));
    const TensorView ids = golden.tensors.get("generate.greedy");
    std::vector<int64_t> all(static_cast<size_t>(ids.elements()));
    std::memcpy(all.data(), ids.data, ids.bytes);
    prompt.assign(all.begin(), all.begin() + golden.tensors.get("generate.prompt").elements());
    greedy.assign(all.begin() + static_cast<int64_t>(prompt.size()), all.end());
  }

  Transformer& transformer() { return *engine->transformer; }
  Generation generation(int64_t max_tokens, std::vector<int32_t> end_ids = {}) {
    return Generation(golden.description, {prompt, std::move(end_ids), max_tokens, {}});
  }
  std::vector<int32_t> expected(size_t count) const { return {greedy.begin(), greedy.begin() + static_cast<int64_t>(count)}; }

  /// Logits of the golden rows and the gradient of their loss.
  std::vector<float> pass() {
    const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
    const AdapterSegment segment{0, batch.tokens(), &adapter};
    std::vector<float> numbers(static_cast<size_t>(batch.tokens() * golden.description.vocabulary)), gradient(adapter.values.size());
    transformer().logits(batch, {&segment, 1}, numbers.data());
    loss_and_gradient(*engine, adapter, batch, gradient);
    numbers.insert(numbers.end(), gradient.begin(), gradient.end());
    return numbers;
  }
};

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
}  // namespace

CASE("an operator that throws in decode or prefill changes nothing about the passes after it") {
  Bench bench;
  const std::vector<float> before = bench.pass();
  for (int64_t fuse : {1, 2, 3, 7, 12}) {
    KvCache cache = bench.transformer().make_cache(20);
    std::vector<float> logits(static_cast<size_t>(bench.golden.description.vocabulary)), again = logits;
    bench.backend->fuse = fuse;
    CHECK_THROWS(bench.transformer().prefill(bench.prompt, &bench.adapter, cache, logits.data()), E_MEMORY);
    CHECK(same(bench.pass(), before));
    bench.transformer().prefill(bench.prompt, &bench.adapter, cache, logits.data());
    bench.backend->fuse = fuse;
    CHECK_THROWS(bench.transformer().decode(bench.greedy[0], &bench.adapter, cache, logits.data()), E_MEMORY);
    CHECK(same(bench.pass(), before));
    bench.transformer().decode(bench.greedy[0], &bench.adapter, cache, logits.data());
    KvCache undisturbed = bench.transformer().make_cache(20);
    bench.transformer().prefill(bench.prompt, &bench.adapter, undisturbed, again.data());
    bench.transformer().decode(bench.greedy[0], &bench.adapter, undisturbed, again.data());
    CHECK(same(logits, again));
  }
}

CASE("canary: linear layers that compute one row are seen in the pass") {
  Bench bench;
  const std::vector<float> before = bench.pass();
  bench.backend->one_row = true;
  CHECK(!same(bench.pass(), before));
}

CASE("wherever a generation fails once, its tokens are those of one that does not") {
  Bench bench;
  constexpr size_t count = 6;
  int failures = 0;
  for (int64_t fuse = 1;; fuse += 5) {
    Generation generation = bench.generation(count);
    std::vector<int32_t> ids;
    bench.backend->fuse = fuse;
    const int before = failures;
    while (generation.finish() == Finish::none) {
      try {
        for (int32_t id : generation.next(bench.transformer(), &bench.adapter, 3)) ids.push_back(id);
      } catch (const Error& error) {
        CHECK(error.code() == Code::E_MEMORY);
        ++failures;
      }
    }
    CHECK(ids == bench.expected(count));
    if (bench.backend->fuse > 0) break;  // longer than a whole generation
    // A failure after the first token of a call is met by the next call, when nothing blows any more.
    CHECK(failures <= before + 1);
  }
  bench.backend->fuse = 0;
  CHECK(failures > 3);
}

CASE("a generation ends at an end token, at max_tokens, at the last position; it counts its tokens") {
  Bench bench;
  const auto run = [&](Generation generation, Finish reason, size_t count) {
    std::vector<int32_t> ids;
    for (int call = 0; call < 400 && generation.finish() == Finish::none; ++call)
      for (int32_t id : generation.next(bench.transformer(), &bench.adapter, 4)) ids.push_back(id);
    CHECK(generation.finish() == reason);
    CHECK(ids.size() == count);
    CHECK(generation.completion_tokens() == static_cast<int64_t>(count));
    CHECK(generation.prompt_tokens() == static_cast<int64_t>(bench.prompt.size()));
    CHECK(generation.next(bench.transformer(), &bench.adapter, 4).empty());
    return ids;
  };
  size_t end = 1;  // the first token that did not occur before
  while (std::find(bench.greedy.begin(), bench.greedy.begin() + static_cast<int64_t>(end), bench.greedy[end]) !=
         bench.greedy.begin() + static_cast<int64_t>(end))
    ++end;
  CHECK(run(bench.generation(8), Finish::length, 8) == bench.expected(8));
  CHECK(run(bench.generation(8, {bench.greedy[end]}), Finish::stop, end + 1) == bench.expected(end + 1));
  run(bench.generation(static_cast<int64_t>(end) + 1, {bench.greedy[end]}), Finish::stop, end + 1);  // both at once
  const int64_t positions = bench.golden.description.max_positions;
  Generation aborted = bench.generation(8);
  aborted.next(bench.transformer(), &bench.adapter, 3);
  aborted.abort();
  CHECK(aborted.finish() == Finish::aborted && aborted.completion_tokens() == 3);
  CHECK(aborted.next(bench.transformer(), &bench.adapter, 3).empty());
  std::vector<int32_t> full(static_cast<size_t>(positions) - 2, 5);
  run(Generation(bench.golden.description, {bench.prompt, {}, positions, {}}), Finish::length,
      static_cast<size_t>(positions) - bench.prompt.size());
  Generation last(bench.golden.description, {full, {}, 100, {}});
  CHECK(last.next(bench.transformer(), &bench.adapter, 100).size() == 2);
  CHECK(last.finish() == Finish::length);
  full.resize(static_cast<size_t>(positions), 5);
  CHECK_THROWS(Generation(bench.golden.description, {full, {}, 1, {}}), E_ARGUMENT);
}

CASE("a generation with a temperature below 0, or a share of the mass that is none, is refused") {
  Bench bench;
  const auto begin = [&](double temperature, double top_p) {
    SamplerOptions sampler;
    sampler.temperature = temperature, sampler.top_p = top_p;
    Generation(bench.golden.description, {bench.prompt, {}, 1, sampler});
  };
  begin(0, 1), begin(2, 0.001);
  for (const double temperature : {-0.001, -HUGE_VAL, std::nan("")}) CHECK_THROWS(begin(temperature, 1), E_ARGUMENT);
  for (const double top_p : {0.0, -1.0, 1.001, HUGE_VAL, std::nan("")}) CHECK_THROWS(begin(1, top_p), E_ARGUMENT);
}

CASE("an adapter that has changed between two tokens is refused, however it changed") {
  Bench bench;
  auto adapter = std::make_shared<Adapter>(bench.golden.adapter());
  const Batch batch = make_batch(bench.golden.description, bench.golden.ids, bench.golden.labels, bench.golden.lengths);
  Session session(bench.engine, adapter, SessionOptions{});
  Generation generation = bench.generation(8);
  std::vector<int32_t> ids = generation.next(bench.transformer(), adapter.get(), 2);
  std::vector<float> gradient(adapter->values.size());
  loss_and_gradient(*bench.engine, *adapter, batch, gradient);  // reads only
  for (int32_t id : generation.next(bench.transformer(), adapter.get(), 2)) ids.push_back(id);
  CHECK(ids == bench.expected(4));
  session.step({&batch, 1}, 1e-3);
  CHECK_THROWS(generation.next(bench.transformer(), adapter.get(), 2), E_BUSY);
  CHECK_THROWS(generation.next(bench.transformer(), adapter.get(), 2), E_BUSY);
  Generation fresh = bench.generation(8);
  CHECK(fresh.next(bench.transformer(), adapter.get(), 8).size() == 8);
}

CASE("a cancel flag ends the prompt's pass and a token's between two blocks; lowered, the generation goes on") {
  Bench bench;
  std::atomic<bool> cancel = true;
  Generation generation = bench.generation(4);
  const auto next = [&](bool cancelled) {
    bench.transformer().set_cancel_flag(&cancel);
    cancel = cancelled;
    std::vector<int32_t> ids;
    bool thrown = false;
    try {
      ids = generation.next(bench.transformer(), &bench.adapter, 2);
    } catch (const Cancelled&) {
      thrown = true;
    }
    bench.transformer().set_cancel_flag(nullptr);
    CHECK(thrown == cancelled);
    return ids;
  };
  next(true);
  std::vector<int32_t> ids = next(false);
  next(true);
  for (int32_t id : next(false)) ids.push_back(id);
  CHECK(ids == bench.expected(4));
}

CASE("weights that overflow are named, not drawn from") {
  Bench bench;
  bench.adapter.values.span()[0] = NAN;
  Generation generation = bench.generation(4);
  CHECK_THROWS(generation.next(bench.transformer(), &bench.adapter, 4), E_NONFINITE);
}

TEST_MAIN()
