#include "napi/generation.h"

#include "engine/generation.h"

namespace fedlora::seam {

namespace {

struct GenerationState {
  GenerationState(std::shared_ptr<Host> host, std::shared_ptr<AdapterState> adapter, Generation generation)
      : host(std::move(host)), adapter(std::move(adapter)), generation(std::move(generation)) {}
  std::shared_ptr<Host> host;
  std::shared_ptr<AdapterState> adapter;  // or null
  Generation generation;                  // the job's while `busy`
  bool busy = false, disposed = false;
  std::atomic<bool> aborted = false;                               // by cancel() or dispose()
  CancelFlag cancel = std::make_shared<std::atomic<bool>>(false);  // of the call in flight: aborted, or the model goes away

  void abort() {
    aborted = true;
    cancel->store(true);
  }
};

struct Tokens {
  std::vector<int32_t> ids;
  Finish finish;
  int64_t prompt, completion;
};

Tokens continue_generation(Engine& engine, const Adapter* adapter, GenerationState& state, int64_t count, const std::atomic<bool>& cancel) {
  const CancelScope scope(engine, cancel);
  Generation& generation = state.generation;
  std::vector<int32_t> ids;
  try {
    if (!state.aborted) ids = generation.next(*engine.transformer, adapter, count);
  } catch (const Cancelled&) {
    if (!state.aborted) throw;  // the model goes away
  }
  if (state.aborted) generation.abort();
  state.host->queue.expect_more(generation.finish() == Finish::none);
  return {std::move(ids), generation.finish(), generation.prompt_tokens(), generation.completion_tokens()};
}

Napi::Value encode_tokens(Napi::Env env, Tokens& tokens) {
  constexpr const char* reasons[] = {nullptr, "stop", "length", "aborted"};
  const char* reason = reasons[static_cast<int>(tokens.finish)];
  Napi::Object object = Napi::Object::New(env);
  Napi::Int32Array ids = Napi::Int32Array::New(env, tokens.ids.size());
  std::copy(tokens.ids.begin(), tokens.ids.end(), ids.Data());
  object.Set("ids", ids);
  object.Set("done", reason != nullptr);
  if (reason != nullptr) object.Set("finishReason", reason);
  object.Set("promptTokens", static_cast<double>(tokens.prompt));
  object.Set("completionTokens", static_cast<double>(tokens.completion));
  return object;
}

class GenerationObject : public Napi::ObjectWrap<GenerationObject> {
 public:
  explicit GenerationObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), state_(constructed_with<std::shared_ptr<GenerationState>>(info)) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeGeneration",
                       {InstanceMethod<&GenerationObject::next>("next"), InstanceMethod<&GenerationObject::cancel>("cancel"),
                        InstanceMethod<&GenerationObject::dispose>("dispose")});
  }

 private:
  Napi::Value next(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      auto state = state_;
      if (state->disposed) fail(Code::E_DISPOSED, "the generation was disposed");
      if (state->busy) fail(Code::E_BUSY, "a call to next() is in flight: await it first");
      std::shared_ptr<Engine> engine = state->host->alive();
      std::shared_ptr<Adapter> adapter = state->adapter ? state->adapter->alive() : nullptr;
      const double wanted = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
      if (!(wanted >= 1)) fail(Code::E_ARGUMENT, "next: expected a number of tokens, at least 1");
      const auto count = static_cast<int64_t>(std::min(wanted, 0x1p52));
      state->busy = true;
      if (state->adapter) ++state->adapter->jobs;
      // The job must not own the host: it could end on the host's own thread. The raw state outlives it, because `settled` owns it.
      GenerationState* raw = state.get();
      return run_job(
          env, state->host->queue,
          [engine, adapter, raw, count](const std::atomic<bool>& cancel, PendingPromise&) {
            return continue_generation(*engine, adapter.get(), *raw, count, cancel);
          },
          encode_tokens, state->cancel,
          [state] {
            state->busy = false;
            if (state->adapter) --state->adapter->jobs;
            if (state->disposed) state->generation.release();
          },
          {}, Lane::urgent);
    });
  }

  void cancel(const Napi::CallbackInfo&) { state_->abort(); }

  void dispose(const Napi::CallbackInfo&) {
    state_->abort();
    state_->disposed = true;
    if (!state_->busy) state_->generation.release();
  }

  std::shared_ptr<GenerationState> state_;
};

}  // namespace

Napi::Value make_generation(Napi::Env env, const std::shared_ptr<Host>& host, const std::shared_ptr<AdapterState>& adapter,
                            Napi::Value options) {
  const Fields f(options, "options");
  GenerationOptions request;
  request.prompt = copy_int32(f.value("ids"), "options.ids");
  request.end_ids = copy_int32(f.value("endIds"), "options.endIds");
  request.max_tokens = f.integer("maxTokens", 1, 1 << 30);
  request.sampler.temperature = f.number("temperature");
  request.sampler.top_k = static_cast<int>(f.integer("topK", 0, 1 << 30));
  request.sampler.top_p = f.number("topP");
  request.sampler.seed = static_cast<uint64_t>(f.integer("seed", 0, 9007199254740991));
  auto state = std::make_shared<GenerationState>(host, adapter, Generation(host->alive()->description(), std::move(request)));
  return construct(env, Environment::of(env).generation, state);
}

Napi::Function define_generation(Napi::Env env) { return GenerationObject::define(env); }

}  // namespace fedlora::seam
