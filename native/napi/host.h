/// An engine and the thread it works on. Shared by the JavaScript objects of one model; destroyed on the JavaScript thread.
#pragma once
#include "napi/job.h"
#include "vectors/ranges.h"

namespace fedlora::seam {

struct Host {
  explicit Host(Napi::Env env) : queue(env) {}
  std::shared_ptr<Engine> engine;
  JobQueue queue;  // last member: stopped before the engine goes

  const std::shared_ptr<Engine>& alive() const {
    if (!engine) fail(Code::E_DISPOSED, "the model was disposed: load it again");
    return engine;
  }
  void dispose() {
    queue.stop();
    engine.reset();
  }
};

/// The transformer's cancel flag, for the time of one job; a job that runs within another gives the other's back.
class CancelScope {
 public:
  CancelScope(Engine& engine, const std::atomic<bool>& flag) : engine_(engine), outer_(engine.transformer->set_cancel_flag(&flag)) {}
  ~CancelScope() { engine_.transformer->set_cancel_flag(outer_); }
  CancelScope(const CancelScope&) = delete;

 private:
  Engine& engine_;
  const std::atomic<bool>* outer_;
};

/// An adapter as JavaScript holds it. `jobs` counts the jobs in flight that touch its values: while there is one, JavaScript may
/// neither read nor write them (E_BUSY).
struct AdapterState {
  std::shared_ptr<Host> host;
  std::shared_ptr<Adapter> adapter;  // null once disposed
  int jobs = 0;

  const std::shared_ptr<Adapter>& alive() const {
    if (!adapter) fail(Code::E_DISPOSED, "the adapter was disposed");
    return adapter;
  }
  const std::shared_ptr<Adapter>& idle() const {
    if (jobs > 0) fail(Code::E_BUSY, "the adapter is in use by a call in flight: await it first");
    return alive();
  }
};

/// The adapter behind a JavaScript value, or null for null; E_ARGUMENT for anything else, and for an adapter of another model.
std::shared_ptr<AdapterState> adapter_state(Napi::Value value, const Host* host);

/// Arguments of addNormals, from `first` on: seeds, scales, stream, ranges of a vector of `length` values (vectors.cpp).
class NormalsCall {
 public:
  NormalsCall(const Napi::CallbackInfo& info, size_t first, int64_t length);
  void add_to(std::span<float> values) const;

 private:
  Napi::Env env_;
  std::vector<uint64_t> seeds_;
  std::vector<double> scales_;
  uint64_t stream_;
  std::vector<Range> ranges_;
};

/// NativeModel.stepTogether: one step of each of several sessions of this host's engine (session.cpp).
Napi::Value step_together(const Napi::CallbackInfo& info, const std::shared_ptr<Host>& host);

/// E_ARGUMENT for what is no whole number from 0 on.
uint64_t decode_adapter_seed(Napi::Value value);

Napi::Function define_model(Napi::Env env);
Napi::Function define_adapter(Napi::Env env);
Napi::Function define_session(Napi::Env env);
Napi::Function define_generation(Napi::Env env);
Napi::Function define_checkpoint(Napi::Env env);
Napi::Function define_aggregator(Napi::Env env);
Napi::Function define_tokenizer(Napi::Env env);
void define_model_functions(Napi::Env env, Napi::Object exports);
void define_adapter_functions(Napi::Env env, Napi::Object exports);
void define_checkpoint_functions(Napi::Env env, Napi::Object exports);
void define_gguf_functions(Napi::Env env, Napi::Object exports);
void define_codec_functions(Napi::Env env, Napi::Object exports);
void define_vector_functions(Napi::Env env, Napi::Object exports);
void define_masking_functions(Napi::Env env, Napi::Object exports);
void define_order_functions(Napi::Env env, Napi::Object exports);
void define_factor_functions(Napi::Env env, Napi::Object exports);
void define_bench_functions(Napi::Env env, Napi::Object exports);
void define_tokenizer_functions(Napi::Env env, Napi::Object exports);
void define_info_functions(Napi::Env env, Napi::Object exports);
void define_cuda_functions(Napi::Env env, Napi::Object exports);

/// Wraps a C++ value in its JavaScript class: the constructor takes one External that points to it.
template <class T>
Napi::Object construct(Napi::Env env, const Napi::FunctionReference& constructor, T value) {
  return constructor.New({Napi::External<T>::New(env, &value)});
}
/// The constructors of wrapped classes accept nothing but that External.
template <class T>
T constructed_with(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "this class cannot be constructed directly");
  return *info[0].As<Napi::External<T>>().Data();
}

}  // namespace fedlora::seam
