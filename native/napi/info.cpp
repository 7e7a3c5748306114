// What this build and this machine are.
#include <thread>

#include "backend/cpu/cpu.h"
#include "base/cpu_features.h"
#include "base/process_memory.h"
#include "napi/host.h"

namespace fedlora::seam {

namespace {

Napi::Value info(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  return guard(env, [&]() -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    object.Set("version", FEDLORA_VERSION);
    object.Set("cpu", cpu_name());
    object.Set("isa", isa_name(select_isa()));
    object.Set("detectedIsa", isa_name(detect_isa()));
    Napi::Array levels = Napi::Array::New(env);
    for (int level = 0; level < isa_levels; ++level) {
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("isa", isa_name(static_cast<Isa>(level)));
      entry.Set("needs", isa_needs(static_cast<Isa>(level)));
      levels.Set(levels.Length(), entry);
    }
    object.Set("levels", levels);
    object.Set("cores", static_cast<double>(std::thread::hardware_concurrency()));
    Napi::Array kernels = Napi::Array::New(env);
    for (const KernelInfo& kernel : cpu_kernels()) {
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("kernel", kernel.kernel);
      entry.Set("isa", kernel.isa);
      kernels.Set(kernels.Length(), entry);
    }
    object.Set("kernels", kernels);
    return object;
  });
}

Napi::Value process_memory(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  const ProcessMemory memory = fedlora::process_memory();
  Napi::Object object = Napi::Object::New(env);
  object.Set("residentBytes", memory.resident);
  object.Set("peakBytes", memory.peak);
  return object;
}

struct Effort {
  int threads;
  double seconds;
};

/// Threads and seconds of a measurement.
Effort effort(const char* what, Napi::Value threads, Napi::Value seconds) {
  if (!threads.IsNumber() || !seconds.IsNumber()) fail(Code::E_ARGUMENT, "%s: expected threads and seconds", what);
  const Effort effort{threads.As<Napi::Number>().Int32Value(), seconds.As<Napi::Number>().DoubleValue()};
  if (effort.threads < 1 || effort.threads > 1024 || !(effort.seconds > 0 && effort.seconds <= 10))
    fail(Code::E_ARGUMENT, "%s: expected 1 to 1024 threads and at most 10 seconds", what);
  return effort;
}

/// Peak arithmetic of `threads` threads in flop/s: measureRoof(compute, threads, seconds). Blocks the caller for about `seconds`.
Napi::Value measure_roof(const Napi::CallbackInfo& call) {
  return guard(call.Env(), [&] {
    if (!call[0].IsString()) fail(Code::E_ARGUMENT, "measureRoof: expected a compute mode, threads and seconds");
    const std::string mode = call[0].As<Napi::String>().Utf8Value();
    if (mode != "f32" && mode != "bf16")
      fail(Code::E_ARGUMENT, "measureRoof: the compute mode is '%s', expected f32 or bf16", mode.c_str());
    const auto [threads, seconds] = effort("measureRoof", call[1], call[2]);
    return Napi::Number::New(call.Env(), measure_cpu_roof(mode == "bf16" ? Compute::bf16 : Compute::f32, threads, seconds));
  });
}

/// The same for reading memory, in bytes/s: measureReadBandwidth(threads, seconds).
Napi::Value measure_read(const Napi::CallbackInfo& call) {
  return guard(call.Env(), [&] {
    const auto [threads, seconds] = effort("measureReadBandwidth", call[0], call[1]);
    return Napi::Number::New(call.Env(), measure_read_bandwidth(threads, seconds));
  });
}

}  // namespace

void define_info_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("info", Napi::Function::New(env, info, "info"));
  exports.Set("measureRoof", Napi::Function::New(env, measure_roof, "measureRoof"));
  exports.Set("measureReadBandwidth", Napi::Function::New(env, measure_read, "measureReadBandwidth"));
  exports.Set("processMemory", Napi::Function::New(env, process_memory, "processMemory"));
}

}  // namespace fedlora::seam
