// NativeSession: the optimiser over one adapter; one call at a time.
#include <cmath>

#include "napi/host.h"
#include "training/session.h"

namespace fedlora::seam {

namespace {

using Made = std::pair<std::shared_ptr<AdapterState>, std::shared_ptr<Session>>;

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  explicit SessionObject(const Napi::CallbackInfo& info) : ObjectWrap(info), memory_(info.Env()) {
    const Made made = constructed_with<Made>(info);
    state_ = made.first;
    session_ = made.second;
    memory_.set(session_->moment1().bytes() + session_->moment2().bytes() + state_->adapter->values.bytes());
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSession",
                       {InstanceMethod<&SessionObject::step>("step"), InstanceMethod<&SessionObject::cancel>("cancel"),
                        InstanceMethod<&SessionObject::state>("state"), InstanceMethod<&SessionObject::restore>("restore"),
                        InstanceMethod<&SessionObject::dispose>("dispose")});
  }

 private:
  const std::shared_ptr<Session>& idle() const {
    if (!session_) fail(Code::E_DISPOSED, "the session was disposed");
    if (*busy_) fail(Code::E_BUSY, "a step of this session is in flight: await it first");
    return session_;
  }

  Napi::Value step(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      std::shared_ptr<Session> session = idle();
      state_->idle();
      std::shared_ptr<Engine> engine = state_->host->alive();
      if (!info[0].IsArray() || !info[1].IsNumber()) fail(Code::E_ARGUMENT, "step: expected an array of batches and a learning rate");
      const Napi::Array array = info[0].As<Napi::Array>();
      std::vector<Batch> batches;
      for (uint32_t i = 0; i < array.Length(); ++i) batches.push_back(decode_batch(engine->description(), array.Get(i)));
      if (batches.empty()) fail(Code::E_ARGUMENT, "step: expected at least one batch");
      const double learning_rate = info[1].As<Napi::Number>().DoubleValue();
      if (!std::isfinite(learning_rate)) fail(Code::E_ARGUMENT, "step: the learning rate is %g, expected a finite number", learning_rate);
      cancel_ = std::make_shared<std::atomic<bool>>(false);
      *busy_ = true;
      ++state_->jobs;
      return run_job(
          env, state_->host->queue,
          [engine, session, learning_rate, batches = std::move(batches)](const std::atomic<bool>& cancel, PendingPromise&) {
            const CancelScope scope(*engine, cancel);
            return session->step(batches, learning_rate);
          },
          [](Napi::Env env, StepResult& result) {
            Napi::Object object = Napi::Object::New(env);
            object.Set("loss", result.loss);
            object.Set("gradNorm", result.grad_norm);
            object.Set("tokens", static_cast<double>(result.tokens));
            object.Set("supervised", static_cast<double>(result.supervised));
            object.Set("cancelled", result.cancelled);
            return object;
          },
          cancel_,
          [busy = busy_, state = state_] {
            *busy = false;
            --state->jobs;
          });
    });
  }

  void cancel(const Napi::CallbackInfo&) {
    if (cancel_) cancel_->store(true);
  }

  Napi::Value state(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const Session& session = *idle();
      Napi::Object object = Napi::Object::New(env);
      object.Set("step", static_cast<double>(session.steps()));
      object.Set("moment1", new_float32(env, {session.moment1().data(), session.moment1().size()}));
      object.Set("moment2", new_float32(env, {session.moment2().data(), session.moment2().size()}));
      return object;
    });
  }

  void restore(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      const Fields f(info[0], "state");
      idle()->restore(f.integer("step", 0, 9007199254740991), copy_float32(f.value("moment1"), "state.moment1"),
                      copy_float32(f.value("moment2"), "state.moment2"));
    });
  }

  void dispose(const Napi::CallbackInfo&) {
    if (cancel_) cancel_->store(true);
    session_.reset();
    memory_.set(0);
  }

  std::shared_ptr<AdapterState> state_;
  std::shared_ptr<Session> session_;
  ExternalMemory memory_;
  std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
  CancelFlag cancel_;
};

}  // namespace

Napi::Function define_session(Napi::Env env) { return SessionObject::define(env); }

}  // namespace fedlora::seam
