#include "napi/generation.h"

#include <algorithm>
#include <cmath>

namespace fedlora::seam {

namespace {

struct Tokens {
  std::vector<int32_t> ids;
  bool done = false;
};

/// Up to `count` further tokens, on the job's thread.
Tokens continue_generation(Engine& engine, const Adapter* adapter, GenerationState& state, int64_t count, const std::atomic<bool>& cancel) {
  Transformer& transformer = *engine.transformer;
  Sampler sampler(state.sampler);
  Tokens tokens;
  if (state.cache.keys.empty()) {
    state.cache = transformer.make_cache(static_cast<int64_t>(state.prompt.size()) + state.max_tokens);
    state.logits.resize(static_cast<size_t>(engine.description().vocabulary));
    transformer.prefill(state.prompt, adapter, state.cache, state.logits.data());
  }
  while (!state.done && static_cast<int64_t>(tokens.ids.size()) < count) {
    if (cancel.load(std::memory_order_relaxed)) break;
    if (!std::isfinite(*std::max_element(state.logits.begin(), state.logits.end())))
      fail(Code::E_NONFINITE, "the logits of token %lld are not finite", static_cast<long long>(state.generated));
    const int32_t id = sampler.pick(state.logits, static_cast<uint64_t>(state.generated));
    tokens.ids.push_back(id);
    state.done = ++state.generated >= state.max_tokens || std::find(state.end_ids.begin(), state.end_ids.end(), id) != state.end_ids.end();
    if (!state.done) transformer.decode(id, adapter, state.cache, state.logits.data());
  }
  tokens.done = state.done;
  return tokens;
}

class GenerationObject : public Napi::ObjectWrap<GenerationObject> {
 public:
  explicit GenerationObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), state_(constructed_with<std::shared_ptr<GenerationState>>(info)) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeGeneration",
                       {InstanceMethod<&GenerationObject::next>("next"), InstanceMethod<&GenerationObject::dispose>("dispose")});
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
            const CancelScope scope(*engine, cancel);
            return continue_generation(*engine, adapter.get(), *raw, count, cancel);
          },
          [](Napi::Env env, Tokens& tokens) {
            Napi::Object object = Napi::Object::New(env);
            Napi::Int32Array ids = Napi::Int32Array::New(env, tokens.ids.size());
            std::copy(tokens.ids.begin(), tokens.ids.end(), ids.Data());
            object.Set("ids", ids);
            object.Set("done", tokens.done);
            return object;
          },
          nullptr,
          [state] {
            state->busy = false;
            if (state->adapter) --state->adapter->jobs;
            if (state->disposed) state->cache = KvCache();
          });
    });
  }

  void dispose(const Napi::CallbackInfo&) {
    state_->disposed = true;
    if (!state_->busy) state_->cache = KvCache();
  }

  std::shared_ptr<GenerationState> state_;
};

}  // namespace

std::shared_ptr<GenerationState> make_generation(const std::shared_ptr<Host>& host, const std::shared_ptr<AdapterState>& adapter,
                                                 Napi::Value options) {
  const Description& d = host->alive()->description();
  const Fields f(options, "options");
  auto state = std::make_shared<GenerationState>();
  state->host = host;
  state->adapter = adapter;
  state->prompt = copy_int32(f.value("ids"), "options.ids");
  state->end_ids = copy_int32(f.value("endIds"), "options.endIds");
  state->max_tokens = f.integer("maxTokens", 1, 1 << 30);
  state->sampler.temperature = static_cast<float>(f.number("temperature"));
  state->sampler.top_k = static_cast<int>(f.integer("topK", 0, 1 << 30));
  state->sampler.top_p = static_cast<float>(f.number("topP"));
  state->sampler.seed = static_cast<uint64_t>(f.integer("seed", 0, 9007199254740991));
  if (state->sampler.temperature < 0) fail(Code::E_ARGUMENT, "temperature is %g, expected 0 (greedy) or more", state->sampler.temperature);
  if (!(state->sampler.top_p > 0 && state->sampler.top_p <= 1))
    fail(Code::E_ARGUMENT, "topP is %g, expected more than 0 and at most 1", state->sampler.top_p);
  const int32_t length = static_cast<int32_t>(state->prompt.size());
  make_batch(d, state->prompt, {}, {&length, 1});  // checks the ids
  state->max_tokens = std::min<int64_t>(state->max_tokens, d.max_positions - length);
  if (state->max_tokens < 1)
    fail(Code::E_ARGUMENT, "the prompt has %d tokens and fills the model's %lld positions", length,
         static_cast<long long>(d.max_positions));
  return state;
}

Napi::Function define_generation(Napi::Env env) { return GenerationObject::define(env); }

}  // namespace fedlora::seam
