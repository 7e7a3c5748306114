// Everything that a model does, over a backend whose memory is not the host's: the same bits as on the host, and no access past the memory.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "backend/cpu/cpu.h"
#include "base/philox.h"
#include "convert/merge.h"
#include "engine/generation.h"
#include "golden_engine.h"
#include "harness.h"
#include "locked_memory.h"
#include "scratch_folder.h"
#include "training/session.h"

using namespace fedlora;

namespace {
using Numbers = std::vector<double>;

std::unique_ptr<Backend> backend_of(bool locked, Compute compute) {
  std::unique_ptr<Backend> backend = make_cpu_backend(compute, 2);
  return locked ? std::make_unique<LockedBackend>(std::move(backend)) : std::move(backend);
}

void note(Numbers& numbers, const Buffer<float>& buffer) {
  const HostView<float> view(buffer);
  numbers.insert(numbers.end(), view.span().begin(), view.span().end());
}
void note(Numbers& numbers, const LossSums& sums) {
  for (const double value : {sums.loss, static_cast<double>(sums.correct), static_cast<double>(sums.supervised)}) numbers.push_back(value);
}

std::vector<float> draws(size_t count, uint32_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = 0.2f * uniform_f32(Philox{key, 7}(i)[0]) - 0.1f;
  return values;
}

std::shared_ptr<Adapter> adapter_of(const Engine& engine, float dropout) {
  std::vector<AdapterLayer> layers;
  for (const BlockSpec& layer : engine.description().layers)
    for (int linear = 0; linear < linears_per_layer; ++linear)
      layers.push_back({layer.linear(linear).module, 3 + linear % 2, 1.5f, dropout});
  auto adapter = std::make_shared<Adapter>(AdapterMap(engine.description(), layers), engine.transformer->backend().memory());
  adapter->initialize(5);
  adapter->write(draws(adapter->values.size(), 1));
  return adapter;
}

std::shared_ptr<const Residual> residual_of(const Adapter& adapter) {
  ResidualMap map(adapter, std::vector<int>(adapter.layout().size() / 2, 2));
  const std::vector<float> values = draws(static_cast<size_t>(map.size()), 2);
  return std::make_shared<Residual>(std::move(map), values, adapter.values.memory());
}

/// What training, evaluation, logits, gradients, generation, cores and merging give.
Numbers work_of(bool locked, const std::string& family, Compute compute) {
  const Golden golden(family);
  const std::shared_ptr<Engine> engine = golden_engine(family, golden.description, backend_of(locked, compute));
  const Batch batch = make_batch(golden.description, golden.ids, golden.labels, golden.lengths);
  const std::shared_ptr<Memory>& memory = engine->transformer->backend().memory();
  Numbers numbers;

  for (const Recompute recompute : {Recompute::none, Recompute::gate_up, Recompute::all}) {
    const std::shared_ptr<Adapter> adapter = adapter_of(*engine, 0.1f);
    if (recompute != Recompute::gate_up) adapter->set_residual(residual_of(*adapter));
    SessionOptions options;
    options.optimizer = recompute == Recompute::all ? Optimizer::sgd : Optimizer::adamw;
    options.momentum = 0.9;
    options.max_grad_norm = 0.5;
    options.recompute = recompute;
    Session session(engine, adapter, options);
    const std::vector<float> given = draws(adapter->values.size(), 3);
    session.set_terms({0.5, Buffer<float>(memory, given), Buffer<float>(memory, given)});
    for (int step = 0; step < 2; ++step) {
      const StepResult result = session.step({&batch, 1}, 1e-2);
      numbers.push_back(result.loss);
      numbers.push_back(result.grad_norm);
    }
    numbers.push_back(session.step({&batch, 1}, 1e-2, PrivateStep{1e-2, 0.5, 2, {1}}).grad_norm);
    note(numbers, adapter->values);
    note(numbers, session.moment1());
    note(numbers, session.moment2());
    session.restore(1, std::vector<float>(session.moment1().size(), 0.25f), std::vector<float>(session.moment2().size(), 0.5f));
    note(numbers, session.moment1());
    note(numbers, session.moment2());

    const AdapterSegment segment{0, batch.tokens(), adapter.get()};
    std::vector<LossSums> rows;
    note(numbers, engine->transformer->evaluate(batch, {&segment, 1}, &rows));
    for (const LossSums& row : rows) note(numbers, row);
    std::vector<float> logits(static_cast<size_t>(batch.tokens() * golden.description.vocabulary)), gradient(adapter->values.size(), NAN);
    engine->transformer->logits(batch, {&segment, 1}, logits.data());
    numbers.insert(numbers.end(), logits.begin(), logits.end());
    numbers.push_back(loss_and_gradient(*engine, *adapter, batch, gradient).loss);
    numbers.insert(numbers.end(), gradient.begin(), gradient.end());
    Generation generation(golden.description, {{1, 2, 3}, {}, 4, {}});
    for (const int32_t id : generation.next(*engine->transformer, adapter.get(), 4)) numbers.push_back(id);
    if (recompute == Recompute::all) {
      const ScratchFolder folder;
      const std::string merged = folder / "merged.safetensors";
      merge_checkpoint({golden_path(family, "model.safetensors")}, merged, golden.description, *host_copy(*adapter));
      const Checkpoint checkpoint({merged});
      for (const ModelTensor& tensor : list_linears(golden.description)) {
        const TensorView view = checkpoint.get(tensor.name());
        numbers.push_back(static_cast<double>(view.bytes));
        for (size_t i = 0; i < view.bytes; i += 64) numbers.push_back(static_cast<const uint8_t*>(view.data)[i]);
      }
    }
  }

  const std::shared_ptr<Adapter> adapter = adapter_of(*engine, 0);
  size_t size = 0;
  for (const TensorLayout& tensor : adapter->layout())
    size += tensor.part == Part::lora_A ? static_cast<size_t>(tensor.rows * tensor.rows) : 0;
  Session cored(engine, adapter, {.optimizer = Optimizer::sgd},
                std::make_unique<Core>(*adapter, Core::A_of(*adapter), draws(size, 4), memory));
  numbers.push_back(cored.step({&batch, 1}, 1e-2).loss);
  cored.set_core(draws(size, 6));
  numbers.push_back(cored.step({&batch, 1}, 1e-2).grad_norm);
  numbers.push_back(cored.step({&batch, 1}, 1e-2, PrivateStep{1e-2, 0.5, 2, {1}}).grad_norm);
  note(numbers, cored.core()->values);
  note(numbers, adapter->values);
  return numbers;
}

/// Whether `body` ends the process by SIGSEGV.
template <class Body>
bool faults(const Body& body) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
#if defined(FEDLORA_ADDRESS_SANITIZER)
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);  // reported, and an exit of its own
#else
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
#endif
}
}  // namespace

CASE("memory that is not the host's: equal bits, f32 and bf16") {
  for (const char* family : {"llama", "qwen3"})
    for (const Compute compute : {Compute::f32, Compute::bf16}) {
      const Numbers own = work_of(false, family, compute);
      CHECK(own.size() > 1000);
      CHECK(work_of(true, family, compute) == own);
    }
}

CASE("buffers: zeros at first, moved with their memory, given back") {
  const auto locked = std::make_shared<LockedMemory>();
  {
    Buffer<float> buffer(locked, 5);
    CHECK(locked->blocks() == 1 && HostView<float>(buffer).span()[4] == 0 && buffer.bytes() == 20);
    const float given[] = {1, 2};
    buffer.upload(given, 3);
    edit(buffer, 1, 4, [](std::span<float> part) {
      CHECK(part.size() == 3 && part[2] == 1);
      part[0] = 7;
    });
    Buffer<float> other = std::move(buffer);
    CHECK(buffer.empty() && buffer.data() == nullptr);
    const HostView<float> view(other);
    CHECK(view[0] == 0 && view[1] == 7 && view[2] == 0 && view[3] == 1 && view[4] == 2);
    other.zero();
    CHECK(HostView<float>(other)[3] == 0);
    other = Buffer<float>(locked, 1);
    CHECK(locked->blocks() == 1);
  }
  CHECK(locked->blocks() == 0);
  const Buffer<float> none;
  CHECK(none.empty() && HostView<float>(none).size() == 0);
  CHECK_THROWS(Buffer<float>(host_memory(), static_cast<size_t>(1) << 47), E_MEMORY);
}

CASE("an output of the host's: in place where it can, else brought when it is finished") {
  float out[2] = {-1, -1};
  Buffer<float> reserve;
  HostOutput direct(host_memory(), out, 2, reserve);
  CHECK(direct.place() == out && reserve.empty());
  const std::shared_ptr<Memory> locked = std::make_shared<LockedMemory>();
  HostOutput fetched(locked, out, 2, reserve);
  CHECK(fetched.place() != out && reserve.size() == 2);
  const float given[] = {3, 4};
  locked->upload(given, fetched.place(), sizeof given);
  CHECK(out[0] == -1);
  fetched.finish();
  CHECK(out[0] == 3 && out[1] == 4);
}

CASE("canary: a host that reaches into such a memory is stopped") {
  const Buffer<float> buffer(std::make_shared<LockedMemory>(), 4);
  CHECK(faults([&] {
    volatile float value = *buffer.data();
    (void)value;
  }));
  CHECK(!faults([&] {
    volatile float value = HostView<float>(buffer)[0];
    (void)value;
  }));
}

TEST_MAIN()
