/// Models of known shapes with random weights on the device, and a backend that tells where the time goes.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/forwarding.h"
#include "engine/engine.h"
#include "model/tensor_list.h"
#include "quant/packed.h"
#include "quant/random_matrix.h"

extern "C" fedlora::cuda::Verdict fedlora_cuda_v1(fedlora::cuda::Api* api);

namespace bench {

using namespace fedlora;
using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

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

inline Description description_of(const Shape& shape) {
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
    const std::string prefix = "layers." + std::to_string(l) + ".";
    BlockSpec block;
    block.before_attention = {prefix + "norm1", d.hidden}, block.before_mlp = {prefix + "norm2", d.hidden};
    block.attention.in = {{prefix + "q", d.query_width(), d.hidden},
                          {prefix + "k", d.kv_width(), d.hidden},
                          {prefix + "v", d.kv_width(), d.hidden}};
    block.attention.out = {prefix + "o", d.hidden, d.query_width()};
    block.mlp.in = {{prefix + "gate", d.intermediate, d.hidden}, {prefix + "up", d.intermediate, d.hidden}};
    block.mlp.out = {prefix + "down", d.hidden, d.intermediate};
    d.layers.push_back(block);
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
inline void fill(const void* from, size_t from_bytes, void* to, size_t bytes) {
  for (size_t at = 0; at < bytes; at += from_bytes) std::memcpy(static_cast<char*>(to) + at, from, std::min(from_bytes, bytes - at));
}

/// W [N, K] whose rows are those of a small random matrix again and again: making billions of numbers would take longer than the steps.
inline Matrix repeated(RandomWords& words, Format format, int64_t N, int64_t K) {
  const Matrix some = random_matrix(words, format, std::min<int64_t>(N, 256), K, 64, false);
  Matrix all = make_matrix(format, N, K, 64, false);
  fill(some.data.data(), some.data.size(), all.data.data(), all.data.size());
  if (!all.absmax.empty())
    fill(some.absmax.data(), some.absmax.size() * sizeof(float), all.absmax.data(), all.absmax.size() * sizeof(float));
  return all;
}

inline Model make_model(const Shape& shape, const std::string& base) {
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
  weights->final_norm.weight = norm();
  for (const ModelTensor& linear : list_linears(d))
    kept->adopt(matrix_of(*weights, linear) = repeated(words, format, linear.N, linear.K));
  for (LayerWeights& layer : weights->layers)
    for (const BlockNorm place : {before_attention, before_mlp}) layer.norm[place].weight = norm();
  return {make_engine(std::move(weights), std::move(watched)), kept};
}

}  // namespace bench
