// Whole training steps on the device: embedding to optimiser, as Session::step runs them, over random weights in the shape of a known
// model.
//
//   time_step SHAPE[@LAYERS]:BASE:SEQUENCESxTOKENS[:RECOMPUTE] …
//     SHAPE 8b | 1b | 135m | tiny · BASE bf16 | nf4 (held as bf16) | nf4-packed (decoded in every pass) · RECOMPUTE none | gate_up | all
//
// LoRA of rank 16 on every linear layer, AdamW, every token supervised, compute bf16.
// Two tables: steps (median of wall-clock times, each step ends with the device idle), and where the time of a step goes, from a step
// that waits after every operator.
#include <cuda_runtime.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "count_launches.h"
#include "step_model.h"
#include "training/session.h"

namespace {

using namespace bench;

Batch random_batch(const Description& d, int64_t sequences, int64_t tokens) {
  RandomWords words(2);
  std::vector<int32_t> ids(static_cast<size_t>(sequences * tokens)), lengths(static_cast<size_t>(sequences), static_cast<int32_t>(tokens));
  for (int32_t& id : ids) id = static_cast<int32_t>(words.next() % static_cast<uint64_t>(d.vocabulary));
  return make_batch(d, ids, ids, lengths);
}

double used_gigabytes() {
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return static_cast<double>(total - free) * 1e-9;
}

struct Case {
  std::string shape, base;
  int layers = 0;  // 0: all of the shape
  int64_t sequences = 1, tokens = 1;
  Recompute recompute = Recompute::none;
};

Case case_of(const std::string& text) {
  const size_t first = text.find(':'), second = text.find(':', first + 1), third = text.find(':', second + 1);
  if (second == std::string::npos) throw std::runtime_error("expected SHAPE:BASE:SEQUENCESxTOKENS[:RECOMPUTE], got " + text);
  Case one{text.substr(0, first), text.substr(first + 1, second - first - 1)};
  if (const size_t at = one.shape.find('@'); at != std::string::npos)
    one.layers = std::atoi(one.shape.c_str() + at + 1), one.shape = one.shape.substr(0, at);
  std::sscanf(text.c_str() + second, ":%ldx%ld", &one.sequences, &one.tokens);
  const std::string how = third == std::string::npos ? "none" : text.substr(third + 1);
  one.recompute = how == "all" ? Recompute::all : how == "gate_up" ? Recompute::gate_up : Recompute::none;
  return one;
}

void time_case(const Case& one, const std::string& name, Model& model, std::string& breakdown) {
  Engine& engine = *model.engine;
  const Description& d = engine.description();
  std::vector<AdapterLayer> layers;
  for (const ModelTensor& linear : list_linears(d)) layers.push_back({linear.module, 16, 2.0f, 0.0f});
  auto adapter = std::make_shared<Adapter>(AdapterMap(d, layers), engine.transformer->backend().memory());
  adapter->initialize(1);
  Session session(model.engine, adapter, {.max_grad_norm = 1, .recompute = one.recompute});
  const Batch batch = random_batch(d, one.sequences, one.tokens);
  const auto step = [&] {
    const auto begin = Clock::now();
    const StepResult result = session.step({&batch, 1}, 1e-4);
    cudaDeviceSynchronize();
    return std::pair(seconds_since(begin), result.loss);
  };
  step();
  std::vector<double> seconds;
  double loss = 0;
  const int64_t launches = kernel_launches();
  model.watched->calls_seconds = 0;
  const auto begin = Clock::now();
  while (seconds.size() < 3 || (seconds.size() < 15 && seconds_since(begin) < 2)) {
    const auto [time, value] = step();
    seconds.push_back(time), loss = value;
  }
  const double calls = model.watched->calls_seconds / static_cast<double>(seconds.size());
  const int64_t launches_a_step = (kernel_launches() - launches) / static_cast<int64_t>(seconds.size());
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  std::printf("| %s | %.2f | %.2f | %.0f | %.1f | %lld | %.1f | %.4f |\n", name.c_str(), median * 1e3, seconds[0] * 1e3,
              static_cast<double>(batch.tokens()) / median, used_gigabytes(), static_cast<long long>(launches_a_step), calls * 1e3, loss);
  std::fflush(stdout);

  model.watched->operators.clear();
  model.watched->watching = true;
  const double whole = step().first;
  model.watched->watching = false;
  std::vector<std::pair<double, std::string>> rows;
  double known = 0;
  for (const auto& [op, entry] : model.watched->operators) {
    char row[160];
    std::snprintf(row, sizeof row, "| %s | %s | %lld | %.2f | %.1f %% |\n", name.c_str(), op.c_str(), static_cast<long long>(entry.first),
                  entry.second * 1e3, entry.second / whole * 100);
    rows.emplace_back(entry.second, row);
    known += entry.second;
  }
  std::sort(rows.rbegin(), rows.rend());
  for (const auto& [time, row] : rows) breakdown += row;
  char rest[160];
  std::snprintf(rest, sizeof rest, "| %s | between operators | | %.2f | |\n", name.c_str(), (whole - known) * 1e3);
  breakdown += rest;
}

}  // namespace

int main(int argc, char** argv) {
  // The memory of one matrix is the next one's, not given back to the system and fetched anew.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  std::string breakdown;
  Model model;
  std::string held;  // shape and base of the model
  int status = 0;
  std::printf("| step | ms | fastest | tokens/s | GB used | launches | ms in calls | loss |\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
  for (int i = 1; i < argc; ++i) {
    try {
      const Case one = case_of(argv[i]);
      const auto* known = std::find_if(std::begin(shapes), std::end(shapes), [&](const Shape& shape) { return one.shape == shape.name; });
      if (known == std::end(shapes)) throw std::runtime_error("unknown shape " + one.shape);
      Shape shape = *known;
      if (one.layers > 0) shape.layers = one.layers;
      if (const std::string wanted = one.shape + " " + std::to_string(shape.layers) + " " + one.base; held != wanted) {
        model = {};
        const auto begin = Clock::now();
        held = wanted;
        model = make_model(shape, one.base);
        cudaDeviceSynchronize();
        std::fprintf(stderr, "%s: made in %.1f s\n", argv[i], seconds_since(begin));
      }
      time_case(one, argv[i], model, breakdown);
    } catch (const std::exception& error) {
      std::printf("| %s | %s |\n", argv[i], error.what());
      status = 1;
    }
  }
  std::printf("\n| step | operator | calls | ms | of the step that waits after each |\n|---|---|--:|--:|--:|\n%s", breakdown.c_str());
  return status;
}
