// NativeAdapter: the trainable vector. JavaScript gets copies; only sessions write it while they work.
#include <algorithm>
#include <cmath>

#include "model/residual.h"
#include "napi/host.h"
#include "training/session.h"

namespace fedlora::seam {

namespace {

std::vector<Range> decode_ranges(const Napi::Array& array) {
  const auto wrong = [] { fail(Code::E_ARGUMENT, "options.trainable: expected at least one [begin, end] of whole numbers"); };
  const auto element = [&](const Napi::Array& pair, uint32_t i) {
    const Napi::Value value = pair.Get(i);
    const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= 9007199254740991) || number != std::floor(number)) wrong();
    return static_cast<int64_t>(number);
  };
  std::vector<Range> ranges;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value pair = array.Get(i);
    if (!pair.IsArray() || pair.As<Napi::Array>().Length() != 2) wrong();
    ranges.push_back({element(pair.As<Napi::Array>(), 0), element(pair.As<Napi::Array>(), 1)});
  }
  if (ranges.empty()) wrong();
  return ranges;
}

Napi::Value encode_layout(Napi::Env env, const std::vector<TensorLayout>& layout) {
  Napi::Array list = Napi::Array::New(env);
  for (const TensorLayout& tensor : layout) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", tensor.name);
    entry.Set("part", part_name[static_cast<int>(tensor.part)]);
    entry.Set("shape", encode_shape(env, {tensor.rows, tensor.columns}));
    entry.Set("offset", static_cast<double>(tensor.offset));
    entry.Set("length", static_cast<double>(tensor.size()));
    list.Set(list.Length(), entry);
  }
  return list;
}

class AdapterObject : public Napi::ObjectWrap<AdapterObject> {
 public:
  explicit AdapterObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), state_(constructed_with<std::shared_ptr<AdapterState>>(info)), memory_(info.Env()) {
    info.This().As<Napi::Object>().TypeTag(&adapter_tag);
    count_memory();
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeAdapter",
        {accessor<AdapterObject, &AdapterObject::length, adapter_tag>("length"), InstanceMethod<&AdapterObject::layout>("layout"),
         InstanceMethod<&AdapterObject::read>("read"), InstanceMethod<&AdapterObject::write>("write"),
         InstanceMethod<&AdapterObject::add_normals>("addNormals"), InstanceMethod<&AdapterObject::gradients>("gradients"),
         InstanceMethod<&AdapterObject::create_session>("createSession"), InstanceMethod<&AdapterObject::residual_layout>("residualLayout"),
         InstanceMethod<&AdapterObject::residual>("residual"), InstanceMethod<&AdapterObject::set_residual>("setResidual"),
         InstanceMethod<&AdapterObject::share_residual>("shareResidual"), InstanceMethod<&AdapterObject::clear_residual>("clearResidual"),
         InstanceMethod<&AdapterObject::dispose>("dispose")});
  }

  const std::shared_ptr<AdapterState>& state() const { return state_; }

 private:
  Napi::Value length(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(state_->alive()->size())); });
  }

  Napi::Value layout(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] { return encode_layout(info.Env(), state_->alive()->layout()); });
  }

  Napi::Value residual_layout(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] {
      std::vector<int> ranks = decode_ranks(info[0], "ranks");
      return encode_layout(info.Env(), ResidualMap(*state_->alive(), std::move(ranks)).layout());
    });
  }

  Napi::Value residual(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const std::shared_ptr<const Residual> residual = state_->alive()->residual();
      if (residual == nullptr) return env.Null();
      Napi::Object object = Napi::Object::New(env);
      Napi::Array ranks = Napi::Array::New(env);
      for (const int rank : residual->ranks()) ranks.Set(ranks.Length(), rank);
      object.Set("ranks", ranks);
      object.Set("values", new_float32(env, HostView<float>(residual->values()).span()));
      return object;
    });
  }

  void set_residual(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      std::vector<int> ranks = decode_ranks(info[0], "ranks");
      const TypedView<float> values(info[1], "values");
      take_residual(
          std::make_shared<Residual>(ResidualMap(*state_->alive(), std::move(ranks)), values.span(), state_->alive()->values.memory()));
    });
  }

  void share_residual(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      const std::shared_ptr<AdapterState> other = adapter_state(info[0], state_->host.get());
      if (!other) fail(Code::E_ARGUMENT, "shareResidual: expected an adapter");
      const std::shared_ptr<const Residual>& residual = other->alive()->residual();
      if (residual) {
        const ResidualMap own(*state_->alive(), residual->ranks());
        if (!std::ranges::equal(own.layout(), residual->layout(), {}, &TensorLayout::name, &TensorLayout::name))
          fail(Code::E_SHAPE, "shareResidual: the other adapter sits on other layers");
      }
      take_residual(residual);
    });
  }

  void clear_residual(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] { take_residual(nullptr); });
  }

  void take_residual(std::shared_ptr<const Residual> residual) {
    state_->idle()->set_residual(std::move(residual));
    count_memory();
  }

  /// A residual that several adapters share counts for each of them.
  void count_memory() {
    const Adapter& adapter = *state_->adapter;
    memory_.set(adapter.values.bytes() + (adapter.residual() ? adapter.residual()->values().bytes() : 0));
  }

  Napi::Value read(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] {
      const HostView<float> values(state_->idle()->values);
      return new_float32(info.Env(), values.span());
    });
  }

  void write(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      const std::vector<float> values = copy_float32(info[0], "values");
      state_->idle()->write(values);
    });
  }

  void add_normals(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      const NormalsCall call(info, 0, state_->alive()->size());
      edit(state_->idle()->values, [&](std::span<float> values) { call.add_to(values); });
    });
  }

  struct Gradient {
    MeanLoss mean;
    AlignedBuffer<float> values;
  };

  Napi::Value gradients(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      std::shared_ptr<Adapter> adapter = state_->alive();
      std::shared_ptr<Engine> engine = state_->host->alive();
      Batch batch = decode_batch(engine->description(), info[0]);
      auto state = state_;
      ++state->jobs;
      return run_job(
          env, state_->host->queue,
          [engine, adapter, batch = std::move(batch)](const std::atomic<bool>& cancel, PendingPromise&) {
            const CancelScope scope(*engine, cancel);
            Gradient gradient{{}, AlignedBuffer<float>(adapter->values.size())};
            gradient.mean = loss_and_gradient(*engine, *adapter, batch, {gradient.values.data(), gradient.values.size()});
            return gradient;
          },
          [](Napi::Env env, Gradient& gradient) {
            Napi::Object object = Napi::Object::New(env);
            object.Set("loss", gradient.mean.loss);
            object.Set("supervised", static_cast<double>(gradient.mean.supervised));
            object.Set("tokens", static_cast<double>(gradient.mean.tokens));
            object.Set("gradients", new_float32(env, {gradient.values.data(), gradient.values.size()}));
            return object;
          },
          nullptr, [state] { --state->jobs; });
    });
  }

  Napi::Value create_session(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const Fields f(info[0], "options");
      const Fields o(f.value("optimizer"), "options.optimizer");
      constexpr const char* kinds[] = {"adamw", "sgd"};
      SessionOptions options;
      options.optimizer = static_cast<Optimizer>(o.choice("kind", kinds));
      options.beta1 = o.number("beta1");
      options.beta2 = o.number("beta2");
      options.epsilon = o.number("epsilon");
      options.weight_decay = o.number("weightDecay");
      options.momentum = o.number("momentum");
      options.max_grad_norm = f.number("maxGradNorm");
      options.dropout_seed = static_cast<uint64_t>(f.integer("dropoutSeed", 0, 9007199254740991));
      options.recompute = decode_recompute(f);
      if (f.has("trainable")) options.trainable = decode_ranges(f.array("trainable"));
      const std::shared_ptr<Adapter> adapter = state_->alive();
      std::unique_ptr<Core> core;
      if (f.has("core")) {
        const Fields c(f.value("core"), "options.core");
        const std::vector<float> R = copy_float32(c.value("R"), "options.core.R");
        const std::vector<float> A = c.has("A") ? copy_float32(c.value("A"), "options.core.A") : Core::A_of(*state_->idle());
        core = std::make_unique<Core>(*adapter, A, R, adapter->values.memory());
        state_->idle();  // it is written
      }
      auto session = std::make_shared<Session>(state_->host->alive(), adapter, options, std::move(core));
      return construct(env, Environment::of(env).session, std::make_pair(state_, session));
    });
  }

  void dispose(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      state_->adapter.reset();
      memory_.set(0);
    });
  }

  std::shared_ptr<AdapterState> state_;
  ExternalMemory memory_;
};

/// layOutAdapter(description, layers, residualRanks | null): where the tensors of an adapter, or of a residual beside it, would lie.
Napi::Value lay_out_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const AdapterMap map(checked(decode_description(info[0])), decode_adapter_layers(info[1]));
    if (info[2].IsNull()) return encode_layout(env, map.layout());
    return encode_layout(env, ResidualMap(map, decode_ranks(info[2], "ranks")).layout());
  });
}

/// initialAdapter(description, layers, seed): the values that createAdapter begins with.
Napi::Value initial_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    Adapter adapter(AdapterMap(checked(decode_description(info[0])), decode_adapter_layers(info[1])));
    adapter.initialize(decode_adapter_seed(info[2]));
    return new_float32(env, HostView<float>(adapter.values).span());
  });
}

}  // namespace

uint64_t decode_adapter_seed(Napi::Value value) {
  const double seed = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(seed >= 0 && seed <= 9007199254740991.0))
    fail(Code::E_ARGUMENT, "createAdapter: the seed is %g, expected a whole number from 0 on", seed);
  return static_cast<uint64_t>(seed);
}

std::shared_ptr<AdapterState> adapter_state(Napi::Value value, const Host* host) {
  if (value.IsNull() || value.IsUndefined()) return nullptr;
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&adapter_tag))
    fail(Code::E_ARGUMENT, "expected an adapter of this library, or null");
  std::shared_ptr<AdapterState> state = AdapterObject::Unwrap(value.As<Napi::Object>())->state();
  state->alive();
  if (host != nullptr && state->host.get() != host) fail(Code::E_ARGUMENT, "the adapter belongs to another model");
  return state;
}

Napi::Function define_adapter(Napi::Env env) { return AdapterObject::define(env); }

void define_adapter_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("layOutAdapter", Napi::Function::New(env, lay_out_adapter, "layOutAdapter"));
  exports.Set("initialAdapter", Napi::Function::New(env, initial_adapter, "initialAdapter"));
}

}  // namespace fedlora::seam
