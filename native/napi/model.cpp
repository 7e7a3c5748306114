// NativeModel: a loaded model; evaluation, logits, plans, and the factories of adapters and generations.
#include "napi/generation.h"
#include "napi/host.h"
#include "training/session.h"

namespace fedlora::seam {

namespace {

Napi::Object encode_memory(Napi::Env env, const Engine& engine) {
  const ModelMemory& memory = engine.memory;
  Napi::Object object = Napi::Object::New(env);
  object.Set("linears", static_cast<double>(memory.linears));
  object.Set("embedding", static_cast<double>(memory.embedding));
  object.Set("head", static_cast<double>(memory.head));
  object.Set("norms", static_cast<double>(memory.norms));
  object.Set("ropes", static_cast<double>(memory.ropes));
  object.Set("total", static_cast<double>(memory.total()));
  return object;
}

std::vector<AdapterSegment> one_segment(const Batch& batch, const std::shared_ptr<Adapter>& adapter) {
  if (!adapter) return {};
  return {AdapterSegment{0, batch.tokens(), adapter.get()}};
}

class Model : public Napi::ObjectWrap<Model> {
 public:
  explicit Model(const Napi::CallbackInfo& info)
      : ObjectWrap(info), host_(constructed_with<std::shared_ptr<Host>>(info)), memory_(info.Env()) {
    info.This().As<Napi::Object>().TypeTag(&model_tag);
    memory_.set(host_->engine->memory.total());
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeModel",
        {accessor<Model, &Model::memory, model_tag>("memory"), InstanceMethod<&Model::linears>("linears"),
         InstanceMethod<&Model::plan>("plan"), InstanceMethod<&Model::create_adapter>("createAdapter"),
         InstanceMethod<&Model::logits>("logits"), InstanceMethod<&Model::evaluate>("evaluate"), InstanceMethod<&Model::unused>("unused"),
         InstanceMethod<&Model::generate>("generate"), InstanceMethod<&Model::profile>("profile"),
         InstanceMethod<&Model::step_together>("stepTogether"), InstanceMethod<&Model::dispose>("dispose")});
  }

 private:
  Napi::Value memory(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] { return encode_memory(info.Env(), *host_->alive()); });
  }

  Napi::Value linears(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const Weights& weights = host_->alive()->transformer->weights();
      Napi::Array list = Napi::Array::New(env);
      for (const ModelTensor& tensor : list_linears(weights.description)) {
        const Matrix& matrix = matrix_of(weights, tensor);
        Napi::Object entry = Napi::Object::New(env);
        entry.Set("module", tensor.module);
        entry.Set("shape", encode_shape(env, {matrix.N, matrix.K}));
        entry.Set("format", format_name(matrix.format));
        entry.Set("doubleQuantization", matrix.nested());
        list.Set(list.Length(), entry);
      }
      return list;
    });
  }

  Napi::Value unused(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      Napi::Array list = Napi::Array::New(env);
      for (const std::string& name : host_->alive()->unused) list.Set(list.Length(), name);
      return list;
    });
  }

  Napi::Value plan(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] {
      const Engine& engine = *host_->alive();
      return encode_plan(
          info.Env(), plan_step(engine.description(), engine.memory.total(), engine.transformer->backend(), decode_plan_request(info[0])));
    });
  }

  Napi::Value create_adapter(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      if (!info[0].IsArray()) fail(Code::E_ARGUMENT, "createAdapter: expected an array of layers and a seed");
      const uint64_t seed = decode_adapter_seed(info[1]);
      auto state = std::make_shared<AdapterState>();
      state->host = host_;
      state->adapter =
          std::make_shared<Adapter>(AdapterMap(host_->alive()->description(), decode_adapter_layers(info[0].As<Napi::Array>())),
                                    host_->alive()->transformer->backend().memory());
      state->adapter->initialize(seed);
      return construct(env, Environment::of(env).adapter, state);
    });
  }

  /// Keeps the adapter's count of jobs right for the time of one job.
  static std::function<void()> hold(const std::shared_ptr<AdapterState>& state) {
    if (!state) return {};
    ++state->jobs;
    return [state] { --state->jobs; };
  }

  Napi::Value logits(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      std::shared_ptr<Engine> engine = host_->alive();
      const std::shared_ptr<AdapterState> state = adapter_state(info[0], host_.get());
      std::shared_ptr<Adapter> adapter = state ? state->alive() : nullptr;
      Batch batch = make_batch(engine->description(), copy_int32(info[1], "ids"), {}, copy_int32(info[2], "lengths"));
      return run_job(
          env, host_->queue,
          [engine, adapter, batch = std::move(batch)](const std::atomic<bool>& cancel, PendingPromise&) {
            const CancelScope scope(*engine, cancel);
            AlignedBuffer<float> logits(static_cast<size_t>(batch.tokens() * engine->description().vocabulary));
            engine->transformer->logits(batch, one_segment(batch, adapter), logits.data());
            return logits;
          },
          [](Napi::Env env, AlignedBuffer<float>& logits) { return new_float32(env, {logits.data(), logits.size()}); }, nullptr,
          hold(state));
    });
  }

  struct Evaluation {
    LossSums all;
    std::vector<LossSums> rows;
  };

  Napi::Value evaluate(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      std::shared_ptr<Engine> engine = host_->alive();
      const std::shared_ptr<AdapterState> state = adapter_state(info[0], host_.get());
      std::shared_ptr<Adapter> adapter = state ? state->alive() : nullptr;
      Batch batch = decode_batch(engine->description(), info[1]);
      return run_job(
          env, host_->queue,
          [engine, adapter, batch = std::move(batch)](const std::atomic<bool>& cancel, PendingPromise&) {
            const CancelScope scope(*engine, cancel);
            Evaluation evaluation;
            evaluation.all = engine->transformer->evaluate(batch, one_segment(batch, adapter), &evaluation.rows);
            return evaluation;
          },
          [](Napi::Env env, Evaluation& evaluation) {
            const LossSums& sums = evaluation.all;
            Napi::Float64Array rows = Napi::Float64Array::New(env, evaluation.rows.size());
            for (size_t i = 0; i < evaluation.rows.size(); ++i) rows[i] = evaluation.rows[i].loss;
            Napi::Object object = Napi::Object::New(env);
            object.Set("lossSum", sums.loss);
            object.Set("rowLosses", rows);
            object.Set("correct", static_cast<double>(sums.correct));
            object.Set("supervised", static_cast<double>(sums.supervised));
            object.Set("tokens", static_cast<double>(sums.tokens));
            return object;
          },
          nullptr, hold(state));
    });
  }

  Napi::Value generate(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const std::shared_ptr<AdapterState> state = adapter_state(info[0], host_.get());
      return make_generation(env, host_, state, info[1]);
    });
  }

  Napi::Value step_together(const Napi::CallbackInfo& info) { return seam::step_together(info, host_); }

  /// Operators' calls and seconds so far; empty unless FEDLORA_PROFILE was set when the model was loaded.
  Napi::Value profile(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      Napi::Array list = Napi::Array::New(env);
      if (host_->alive()->profile == nullptr) return list;
      for (const ProfileEntry& entry : host_->alive()->profile->entries()) {
        Napi::Object object = Napi::Object::New(env);
        object.Set("op", entry.op);
        object.Set("calls", static_cast<double>(entry.calls));
        object.Set("seconds", entry.seconds);
        list.Set(list.Length(), object);
      }
      return list;
    });
  }

  void dispose(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      host_->dispose();
      memory_.set(0);
    });
  }

  std::shared_ptr<Host> host_;
  ExternalMemory memory_;
};

/// Runs `make` (gives an Engine) on a thread of its own; the promise gives the model.
template <class Make>
Napi::Value make_model(Napi::Env env, Make make, Napi::Value progress) {
  auto host = std::make_shared<Host>(env);
  Host* key = host.get();
  Environment* environment = &Environment::of(env);
  environment->loading.emplace(key, host);
  return run_job(
      env, host->queue, std::move(make),
      [environment, key](Napi::Env env, std::shared_ptr<Engine>& engine) -> Napi::Value {
        const std::shared_ptr<Host> host = environment->loading.at(key);
        host->engine = engine;
        engine->between_passes = [queue = &host->queue] { queue->yield(); };
        return construct(env, environment->model, host);
      },
      nullptr, [environment, key] { environment->loading.erase(key); }, progress);
}

Napi::Value load_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    return make_model(
        env,
        [options = decode_load_options(info[0])](const std::atomic<bool>& cancel, PendingPromise& pending) {
          return load_engine(options, [&](int64_t done, int64_t total) {
            if (cancel.load(std::memory_order_relaxed)) throw Cancelled{};
            pending.post(static_cast<double>(done), static_cast<double>(total));
          });
        },
        info[1]);
  });
}

Napi::Value random_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    if (!info[1].IsNumber()) fail(Code::E_ARGUMENT, "randomModel: expected options and a seed");
    const uint64_t seed = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
    return make_model(
        env,
        [options = decode_load_options(info[0]), seed](const std::atomic<bool>&, PendingPromise&) { return random_engine(options, seed); },
        {});
  });
}

Napi::Value plan_model(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const LoadOptions options = decode_load_options(info[0]);
    const std::unique_ptr<Backend> backend = open_backend({options.compute, options.threads, options.device});
    const size_t weight_bytes = plan_weights(options, *backend);
    return encode_plan(info.Env(), plan_step(options.description, weight_bytes, *backend, decode_plan_request(info[1])));
  });
}

/// describeTensors(description): what a checkpoint of this model holds, in the order of loading.
Napi::Value describe_tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    constexpr const char* roles[] = {"embedding", "positions", "head",     "embeddingNorm",     "finalNorm",     "norm",
                                     "linear",    "bias",      "normBias", "embeddingNormBias", "finalNormBias", "headBias"};
    static_assert(sizeof roles / sizeof *roles == static_cast<size_t>(TensorRole::head_bias) + 1);
    Napi::Array list = Napi::Array::New(env);
    for (const ModelTensor& tensor : list_tensors(checked(decode_description(info[0])))) {
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("role", roles[static_cast<int>(tensor.role)]);
      entry.Set("module", tensor.module);
      entry.Set("name", tensor.name());
      entry.Set("shape", encode_shape(env, tensor.shape()));
      list.Set(list.Length(), entry);
    }
    return list;
  });
}

}  // namespace

Napi::Function define_model(Napi::Env env) { return Model::define(env); }

void define_model_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("loadModel", Napi::Function::New(env, load_model, "loadModel"));
  exports.Set("randomModel", Napi::Function::New(env, random_model, "randomModel"));
  exports.Set("planModel", Napi::Function::New(env, plan_model, "planModel"));
  exports.Set("describeTensors", Napi::Function::New(env, describe_tensors, "describeTensors"));
}

}  // namespace fedlora::seam
