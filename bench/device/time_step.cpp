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
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/forwarding.h"
#include "count_launches.h"
#include "engine/engine.h"
#include "quant/packed.h"
#include "quant/random_matrix.h"
#include "training/session.h"

extern "C" fedlora::cuda::Verdict fedlora_cuda_v1(fedlora::cuda::Api* api);

namespace {

using namespace fedlora;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

struct Shape {
  const char* name;
  int64_t hidden, intermediate;
  int layers, heads, kv_heads, head_dim;
  int64_t vocabulary;
  bool tied;
};
constexpr Shape shapes[] = {
    {"8b", 4096, 14336, 32, 32, 8, 128, 128256, false},  // Llama-3.1-8B
    {"1b", 2048, 8192, 16, 32, 8, 64, 128256, true},     // Llama-3.2-1B
    {"135m", 576, 1536, 30, 9, 3, 64, 49152, true},      // SmolLM2-135M
    {"tiny", 64, 128, 2, 4, 2, 16, 256, true},
};

Description description_of(const Shape& shape) {
  Description d;
  d.family = "llama";
  d.vocabulary = shape.vocabulary, d.hidden = shape.hidden, d.intermediate = shape.intermediate, d.max_positions = 8192;
  d.heads = shape.heads, d.kv_heads = shape.kv_heads, d.head_dim = shape.head_dim;
  d.attention_scale = 1 / std::sqrt(static_cast<float>(d.head_dim));
  d.tied_head = shape.tied;
  d.embedding = "embedding", d.final_norm = "norm", d.head = "head";
  RopeDescription rope;
  for (int i = 0; i < d.head_dim; i += 2)
    rope.inverse_frequencies.push_back(static_cast<float>(std::pow(500000.0, -static_cast<double>(i) / d.head_dim)));
  d.ropes.push_back(rope);
  for (int l = 0; l < shape.layers; ++l) {
    LayerDescription layer;
    const std::string prefix = "layers." + std::to_string(l) + ".";
    layer.input_norm = prefix + "norm1", layer.mlp_input_norm = prefix + "norm2";
    const char* names[] = {"q", "k", "v", "o", "gate", "up", "down"};
    for (int linear = 0; linear < linears_per_layer; ++linear) layer.linear[linear] = prefix + names[linear];
    d.layers.push_back(layer);
  }
  return d;
}

/// Waits after every operator while `watching`, and adds up; otherwise counts the time that calls take, which is the host's.
class Watched final : public Forwarding {
 public:
  using Forwarding::Forwarding;
  bool watching = false;
  double calls_seconds = 0;
  std::map<std::string, std::pair<int64_t, double>> operators;  // calls, seconds

 private:
  void enter(Op) override { begin_ = Clock::now(); }
  void leave(Op op) noexcept override {
    if (!watching) {
      calls_seconds += seconds_since(begin_);
      return;
    }
    cudaDeviceSynchronize();
    auto& [calls, seconds] = operators[op_name(op)];
    ++calls, seconds += seconds_since(begin_);
  }
  Clock::time_point begin_;
};

struct Model {
  std::shared_ptr<Engine> engine;
  Watched* watched;
};

/// Bytes of `from` again and again.
void fill(const void* from, size_t from_bytes, void* to, size_t bytes) {
  for (size_t at = 0; at < bytes; at += from_bytes) std::memcpy(static_cast<char*>(to) + at, from, std::min(from_bytes, bytes - at));
}

/// W [N, K] whose rows are those of a small random matrix again and again: making billions of numbers would take longer than the steps.
Matrix repeated(RandomWords& words, Format format, int64_t N, int64_t K) {
  const Matrix some = random_matrix(words, format, std::min<int64_t>(N, 256), K, 64, false);
  Matrix all = make_matrix(format, N, K, 64, false);
  fill(some.data.data(), some.data.size(), all.data.data(), all.data.size());
  if (!all.absmax.empty())
    fill(some.absmax.data(), some.absmax.size() * sizeof(float), all.absmax.data(), all.absmax.size() * sizeof(float));
  return all;
}

Model make_model(const Shape& shape, const std::string& base) {
  static cuda::Api table;
  static const cuda::Api* library = cuda::table_of(fedlora_cuda_v1, table, "the linked library");
  auto watched = std::make_unique<Watched>(cuda::make_cuda_backend(*library, 0, Compute::bf16, 1));
  Watched* const kept = watched.get();
  const Description d = checked(description_of(shape));
  const Format format = base == "bf16" ? Format::bf16 : Format::nf4;
  if (base == "nf4") kept->expect({1, 1});  // as where the decoded copy has room
  RandomWords words(1);
  auto weights = std::make_shared<Weights>();
  weights->description = d;
  weights->layers.resize(d.layers.size());
  const auto norm = [&] { return Buffer<float>(kept->memory(), std::vector<float>(static_cast<size_t>(d.hidden), 1.0f)); };
  const auto table_of = [&](Matrix& matrix) { kept->adopt(matrix = repeated(words, Format::bf16, d.vocabulary, d.hidden)); };
  table_of(weights->embedding);
  if (!d.tied_head) table_of(weights->head);
  weights->final_norm = norm();
  for (LayerWeights& layer : weights->layers)
    for (int linear = 0; linear < linears_per_layer; ++linear)
      kept->adopt(layer.linear[linear] = repeated(words, format, d.out_features(linear), d.in_features(linear)));
  for (LayerWeights& layer : weights->layers) layer.input_norm = norm(), layer.mlp_norm = norm();
  return {make_engine(std::move(weights), std::move(watched)), kept};
}

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
  for (const LayerDescription& layer : d.layers)
    for (const std::string& module : layer.linear) layers.push_back({module, 16, 2.0f, 0.0f});
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
