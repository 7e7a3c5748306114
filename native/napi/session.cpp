// NativeSession: the optimiser over one adapter; one call at a time.
#include <algorithm>
#include <cmath>
#include <optional>

#include "napi/host.h"
#include "training/session.h"

namespace fedlora::seam {

namespace {

using Made = std::pair<std::shared_ptr<AdapterState>, std::shared_ptr<Session>>;

/// One session's part of a job.
struct Part {
  std::shared_ptr<Session> session;
  std::vector<Batch> batches;
  double learning_rate = 0;
  std::optional<PrivateStep> privacy;
};

std::optional<PrivateStep> decode_privacy(Napi::Value value) {
  if (value.IsUndefined()) return {};
  const Fields f(value, "privacy");
  PrivateStep privacy{f.number("clip"), f.number("noiseMultiplier"), f.number("expectedExamples"),
                      decode_noise_key(f.value("key"), "privacy.key")};
  check(privacy);
  return privacy;
}

Part decode_part(const Engine& engine, const Napi::Array& array, double learning_rate, Napi::Value privacy) {
  Part part;
  for (uint32_t i = 0; i < array.Length(); ++i) part.batches.push_back(decode_batch(engine.description(), array.Get(i)));
  part.privacy = decode_privacy(privacy);
  if (part.batches.empty() && !part.privacy) fail(Code::E_ARGUMENT, "step: expected at least one batch");
  if (!std::isfinite(learning_rate)) fail(Code::E_ARGUMENT, "step: the learning rate is %g, expected a finite number", learning_rate);
  part.learning_rate = learning_rate;
  return part;
}

Buffer<float> uploaded(const std::shared_ptr<Memory>& memory, Napi::Value value, const char* what) {
  const TypedView<float> view(value, what);
  if (view.span().empty()) fail(Code::E_SHAPE, "%s: no values, expected one for each of the adapter", what);
  return {memory, std::span<const float>(view.span())};
}

Napi::Object encode_step(Napi::Env env, const StepResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("loss", result.loss);
  object.Set("gradNorm", result.grad_norm);
  object.Set("tokens", static_cast<double>(result.tokens));
  object.Set("supervised", static_cast<double>(result.supervised));
  object.Set("examples", static_cast<double>(result.examples));
  object.Set("clipped", static_cast<double>(result.clipped));
  object.Set("cancelled", result.cancelled);
  return object;
}

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  explicit SessionObject(const Napi::CallbackInfo& info) : ObjectWrap(info), memory_(info.Env()) {
    const Made made = constructed_with<Made>(info);
    info.This().As<Napi::Object>().TypeTag(&session_tag);
    state_ = made.first;
    session_ = made.second;
    account();
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeSession",
                       {InstanceMethod<&SessionObject::step>("step"), InstanceMethod<&SessionObject::cancel>("cancel"),
                        InstanceMethod<&SessionObject::state>("state"), InstanceMethod<&SessionObject::restore>("restore"),
                        InstanceMethod<&SessionObject::set_terms>("setTerms"), InstanceMethod<&SessionObject::core>("core"),
                        InstanceMethod<&SessionObject::set_core>("setCore"), InstanceMethod<&SessionObject::dispose>("dispose")});
  }

  const std::shared_ptr<AdapterState>& adapter() const { return state_; }
  const std::shared_ptr<Session>& idle() const {
    if (!session_) fail(Code::E_DISPOSED, "the session was disposed");
    if (*busy_) fail(Code::E_BUSY, "a step of this session is in flight: await it first");
    return session_;
  }

  /// E_BUSY or E_DISPOSED when it cannot work now; otherwise it is busy until the function given back is called. Runs no JavaScript.
  std::function<void()> claim(Part& part, const CancelFlag& cancel) {
    part.session = idle();
    state_->idle();
    cancel_ = cancel;
    *busy_ = true;
    ++state_->jobs;
    return [busy = busy_, state = state_] {
      *busy = false;
      --state->jobs;
    };
  }

 private:
  void account() {
    const GradientTerms& terms = session_->terms();
    memory_.set(session_->moment1().bytes() + session_->moment2().bytes() + state_->adapter->values.bytes() + terms.anchor.bytes() +
                terms.correction.bytes() + (session_->core() ? 2 * session_->core()->values.bytes() : 0));
  }

  Napi::Value step(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      idle();
      const std::shared_ptr<Engine> engine = state_->host->alive();
      if (!info[0].IsArray() || !info[1].IsNumber()) fail(Code::E_ARGUMENT, "step: expected an array of batches and a learning rate");
      Part part = decode_part(*engine, info[0].As<Napi::Array>(), info[1].As<Napi::Number>().DoubleValue(), info[2]);
      std::function<void()> release = claim(part, std::make_shared<std::atomic<bool>>(false));
      return run_job(
          env, state_->host->queue,
          [engine, part = std::move(part)](const std::atomic<bool>& cancel, PendingPromise&) {
            const CancelScope scope(*engine, cancel);
            return part.session->step(part.batches, part.learning_rate, part.privacy);
          },
          encode_step, cancel_, std::move(release));
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
      object.Set("moment1", new_float32(env, HostView<float>(session.moment1()).span()));
      object.Set("moment2", new_float32(env, HostView<float>(session.moment2()).span()));
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

  void set_terms(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      GradientTerms terms;
      if (!info[0].IsNull()) {
        const Fields f(info[0], "terms");
        const std::shared_ptr<Memory>& memory = state_->alive()->values.memory();
        if (f.has("anchor") || f.has("mu")) terms.mu = f.number("mu");
        if (f.has("anchor")) terms.anchor = uploaded(memory, f.value("anchor"), "terms.anchor");
        if (f.has("correction")) terms.correction = uploaded(memory, f.value("correction"), "terms.correction");
      }
      idle()->set_terms(std::move(terms));
      account();
    });
  }

  Napi::Value core(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const Core* core = idle()->core();
      if (core == nullptr) return env.Null();
      return new_float32(env, HostView<float>(core->values).span());
    });
  }

  void set_core(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      const std::vector<float> values = copy_float32(info[0], "core");
      const std::shared_ptr<Session>& session = idle();
      state_->idle();
      session->set_core(values);
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

Napi::Value step_together(const Napi::CallbackInfo& info, const std::shared_ptr<Host>& host) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const std::shared_ptr<Engine> engine = host->alive();
    if (!info[0].IsArray() || !info[1].IsNumber())
      fail(Code::E_ARGUMENT, "stepTogether: expected an array of steps and a number of tokens");
    const double most_tokens = info[1].As<Napi::Number>().DoubleValue();
    if (!(most_tokens >= 1 && most_tokens <= 2147483647.0))
      fail(Code::E_ARGUMENT, "stepTogether: passes of %g tokens, expected a number from 1 to 2147483647", most_tokens);
    const Napi::Array array = info[0].As<Napi::Array>();
    std::vector<Napi::Object> objects;
    std::vector<Part> parts;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Fields f(array.Get(i), "steps[]");
      const Napi::Value session = f.value("session");
      if (!session.IsObject() || !session.As<Napi::Object>().CheckTypeTag(&session_tag))
        fail(Code::E_ARGUMENT, "steps[%u].session: expected a session of this library", i);
      objects.push_back(session.As<Napi::Object>());
      parts.push_back(
          decode_part(*engine, f.array("batches"), f.number("learningRate"), f.has("privacy") ? f.value("privacy") : env.Undefined()));
    }
    // From here on no JavaScript runs: the sessions are taken all or none.
    const CancelFlag cancel = std::make_shared<std::atomic<bool>>(false);
    std::vector<SessionObject*> sessions;
    for (const Napi::Object& object : objects) {
      SessionObject* session = SessionObject::Unwrap(object);
      session->idle();
      session->adapter()->idle();
      if (session->adapter()->host != host) fail(Code::E_ARGUMENT, "stepTogether: a session belongs to another model");
      if (std::find(sessions.begin(), sessions.end(), session) != sessions.end())
        fail(Code::E_ARGUMENT, "stepTogether: a session appears twice");
      for (const SessionObject* other : sessions)
        if (other->adapter() == session->adapter()) fail(Code::E_ARGUMENT, "stepTogether: two sessions train the same adapter");
      sessions.push_back(session);
    }
    std::vector<std::function<void()>> releases;
    for (size_t i = 0; i < parts.size(); ++i) releases.push_back(sessions[i]->claim(parts[i], cancel));
    return run_job(
        env, host->queue,
        [engine, parts = std::move(parts), most_tokens](const std::atomic<bool>& cancel, PendingPromise&) {
          const CancelScope scope(*engine, cancel);
          std::vector<SessionStep> steps;
          for (const Part& part : parts) steps.push_back({part.session.get(), part.batches, part.learning_rate, part.privacy});
          return fedlora::step_together(steps, static_cast<int64_t>(most_tokens));
        },
        [](Napi::Env env, std::vector<SessionOutcome>& outcomes) {
          Napi::Array results = Napi::Array::New(env);
          for (const SessionOutcome& outcome : outcomes) {
            Napi::Object object = encode_step(env, outcome.result);
            if (outcome.error) object.Set("error", to_js(env, *outcome.error).Value());
            results.Set(results.Length(), object);
          }
          return results;
        },
        cancel,
        [releases = std::move(releases)] {
          for (const std::function<void()>& release : releases) release();
        });
  });
}

Napi::Function define_session(Napi::Env env) { return SessionObject::define(env); }

}  // namespace fedlora::seam
