// Every operator has its place: in the CPU backend, in the book, in what hands it on, and in the work of a model.
#include <cstdlib>
#include <set>
#include <type_traits>

#include "backend/cpu/cpu_backend.h"
#include "backend/forwarding.h"
#include "book_backend.h"
#include "engine/generation.h"
#include "engine/load.h"
#include "golden_model.h"
#include "harness.h"
#include "training/session.h"

using namespace fedlora;

// An operator without a body is a pure virtual function of the book, and does not link in the CPU backend.
static_assert(!std::is_abstract_v<CpuBackend> && !std::is_abstract_v<BookBackend> && !std::is_abstract_v<Forwarding>);

namespace {

/// Writes down what passes through; refuses one operator.
class Watching : public Forwarding {
 public:
  Watching() : Forwarding(std::make_unique<BookBackend>()) {}
  std::vector<std::string> events;
  Op refused = Op::count;

 private:
  void enter(Op op) override {
    if (op == refused) fail(Code::E_MEMORY, "refused");
    events.push_back(std::string("enter ") + op_name(op));
  }
  void leave(Op op) noexcept override { events.push_back(std::string("leave ") + op_name(op)); }
};

struct Work {
  std::vector<float> numbers;
  std::vector<ProfileEntry> entries;
};

/// Training by both optimisers, one of them held near zero, evaluation and generation of a small random model.
Work work_of(const char* profile) {
  setenv("FEDLORA_PROFILE", profile, 1);
  LoadOptions options;
  options.description = golden_description("qwen3");
  options.quantization = Format::nf4;
  options.compute = Compute::bf16;
  const std::shared_ptr<Engine> engine = random_engine(options, 5);
  unsetenv("FEDLORA_PROFILE");
  const Golden golden("qwen3");
  auto adapter = std::make_shared<Adapter>(golden.adapter());
  Work work;
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  for (const Recompute recompute : {Recompute::none, Recompute::all}) {
    SessionOptions session;
    session.optimizer = recompute == Recompute::none ? Optimizer::adamw : Optimizer::sgd;
    session.max_grad_norm = 1;
    session.recompute = recompute;
    Session training(engine, adapter, session);
    if (session.optimizer == Optimizer::sgd) {
      GradientTerms pull;
      pull.mu = 0.5;
      pull.anchor = Buffer<float>(host_memory(), adapter->values.size());
      training.set_terms(std::move(pull));
    }
    work.numbers.push_back(static_cast<float>(training.step({&batch, 1}, 1e-3).grad_norm));
  }
  Generation generation(golden.description, {{1, 2, 3}, {}, 4, {}});
  for (const int32_t id : generation.next(*engine->transformer, adapter.get(), 4)) work.numbers.push_back(static_cast<float>(id));
  work.numbers.insert(work.numbers.end(), adapter->values.span().begin(), adapter->values.span().end());
  if (engine->profile != nullptr) work.entries = engine->profile->entries();
  return work;
}

}  // namespace

CASE("an operator is entered, done by the one below, and left, thrown or not") {
  Watching watching;
  const int32_t rows[] = {1};
  const float x[4] = {1, 2, 3, 4};
  float y[2] = {};
  watching.gather_rows(2, rows, x, y);
  CHECK(watching.sum_of_squares(y) == 25);
  CHECK(watching.name() == "book" && watching.compute() == Compute::f32 && watching.threads() == 1);
  CHECK((watching.events ==
         std::vector<std::string>{"enter gather_rows", "leave gather_rows", "enter sum_of_squares", "leave sum_of_squares"}));
  watching.refused = Op::scatter_rows;
  watching.events.clear();
  CHECK_THROWS(watching.scatter_rows(1, 2, {}, nullptr, y), E_MEMORY);
  CHECK(watching.events.empty() && y[1] == 4);
  watching.refused = Op::count;
  watching.scatter_rows(1, 2, {}, nullptr, y);
  CHECK(y[1] == 0);
}

CASE("a model's work takes every operator, and the profiler that counts them changes no bit") {
  const Work plain = work_of("0"), profiled = work_of("1");
  CHECK(plain.entries.empty());
  CHECK(plain.numbers.size() > 100 && plain.numbers == profiled.numbers);
  std::set<std::string> seen;
  for (const ProfileEntry& entry : profiled.entries) {
    CHECK(seen.insert(entry.op).second);
    CHECK(entry.calls > 0 && entry.seconds > 0);
    if (entry.op == std::string("embedding_forward")) CHECK(entry.calls == 2 + 1 + 3);
    if (entry.op == std::string("adamw") || entry.op == std::string("sgd")) CHECK(entry.calls == 1);
  }
  CHECK(std::string(profiled.entries.at(0).op) == "embedding_forward");
  const std::set<std::string> further{
#define OP(Result, name, arguments)
#define FURTHER_OP(Result, name, arguments) #name,
#include "backend/ops.def"
#undef OP
  };
  for (int op = 0; op < static_cast<int>(Op::count); ++op) {
    const char* name = op_name(static_cast<Op>(op));
    const bool asked = further.count(name) == 0;
    if (asked && seen.count(name) == 0) std::printf("# %s is used by no pass\n", name);
    CHECK((seen.count(name) == 1) == asked);
  }
}

TEST_MAIN()
