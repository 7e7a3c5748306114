// Timings of single operators (bench/kernel_bench.h). They block the caller: a benchmark has nothing else to do.
#include <cmath>

#include "bench/kernel_bench.h"
#include "napi/host.h"

namespace fedlora::seam {

namespace {

constexpr const char* computes[] = {"f32", "bf16"};
constexpr const char* formats[] = {"bf16", "int8", "nf4", "fp4"};
constexpr Format format_values[] = {Format::bf16, Format::int8, Format::nf4, Format::fp4};

Napi::Array numbers(Napi::Env env, const std::vector<double>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array.Set(static_cast<uint32_t>(i), values[i]);
  return array;
}

Napi::Object encode_report(Napi::Env env, const KernelReport& report) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array rounds = Napi::Array::New(env, report.rounds.size());
  for (size_t i = 0; i < report.rounds.size(); ++i) {
    Napi::Object round = Napi::Object::New(env);
    round.Set("roofOne", report.rounds[i].roof_one);
    round.Set("roof", report.rounds[i].roof);
    round.Set("forward", numbers(env, report.rounds[i].forward));
    round.Set("backward", numbers(env, report.rounds[i].backward));
    rounds.Set(static_cast<uint32_t>(i), round);
  }
  object.Set("rounds", rounds);
  object.Set("forwardFlop", numbers(env, report.forward_flop));
  object.Set("backwardFlop", numbers(env, report.backward_flop));
  object.Set("worstError", report.worst_error);
  return object;
}

Napi::Value linear(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const Fields f(info[0], "options");
    LinearBench bench;
    bench.M = f.integer("M", 1, 1 << 20);
    bench.K = f.integer("K", 1, 1 << 20);
    bench.N = f.integer("N", 1, 1 << 20);
    bench.compute = f.choice("compute", computes) == 0 ? Compute::f32 : Compute::bf16;
    bench.threads = static_cast<int>(f.integer("threads", 1, 1024));
    bench.rounds = static_cast<int>(f.integer("rounds", 1, 1000));
    const Napi::Array candidates = f.array("candidates");
    for (uint32_t i = 0; i < candidates.Length(); ++i) {
      const Fields candidate(candidates.Get(i), "candidate");
      bench.candidates.push_back(
          {format_values[candidate.choice("format", formats)], static_cast<int>(candidate.integer("rank", 0, 4096))});
    }
    return encode_report(info.Env(), bench_lora_linear(bench));
  });
}

Napi::Value attention(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const Fields f(info[0], "options");
    AttentionBench bench;
    bench.sequences = f.integer("sequences", 1, 1 << 16);
    bench.length = f.integer("length", 1, 1 << 20);
    bench.shape.heads = static_cast<int>(f.integer("heads", 1, 1024));
    bench.shape.kv_heads = static_cast<int>(f.integer("kvHeads", 1, bench.shape.heads));
    bench.shape.head_dim = static_cast<int>(f.integer("headDim", 2, 1024));
    bench.shape.window = static_cast<int>(f.integer("window", 0, 1 << 20));
    bench.shape.scale = 1 / std::sqrt(static_cast<float>(bench.shape.head_dim));
    bench.compute = f.choice("compute", computes) == 0 ? Compute::f32 : Compute::bf16;
    bench.threads = static_cast<int>(f.integer("threads", 1, 1024));
    bench.rounds = static_cast<int>(f.integer("rounds", 1, 1000));
    if (bench.shape.heads % bench.shape.kv_heads != 0 || bench.shape.head_dim % 2 != 0)
      fail(Code::E_SHAPE, "benchAttention: %d heads over %d, of %d: expected a multiple and an even size", bench.shape.heads,
           bench.shape.kv_heads, bench.shape.head_dim);
    return encode_report(info.Env(), bench_attention(bench));
  });
}

}  // namespace

void define_bench_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("benchLoraLinear", Napi::Function::New(env, linear, "benchLoraLinear"));
  exports.Set("benchAttention", Napi::Function::New(env, attention, "benchAttention"));
}

}  // namespace fedlora::seam
