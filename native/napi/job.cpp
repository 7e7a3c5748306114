#include "napi/job.h"

namespace fedlora::seam {

JobQueue::JobQueue(Napi::Env env) : environment_(&Environment::of(env)) { environment_->queues.insert(this); }

JobQueue::~JobQueue() {
  stop();
  if (environment_ != nullptr) environment_->queues.erase(this);
}

void JobQueue::leave(Environment& environment) {
  stop();
  environment.queues.erase(this);
  environment_ = nullptr;
}

/// What travels to the JavaScript thread; owned by the queue of the thread-safe function until it arrives.
struct PendingPromise::Message {
  std::shared_ptr<PendingPromise> pending;
  std::function<Napi::Value(Napi::Env)> convert;
  std::optional<Error> error;
  bool progress = false;
  double done = 0, total = 0;
};

std::shared_ptr<PendingPromise> PendingPromise::make(Napi::Env env, Napi::Value progress, std::function<void()> settled) {
  std::shared_ptr<PendingPromise> pending(new PendingPromise(env, progress, std::move(settled)));
  Environment::of(env).pending.insert(pending);
  return pending;
}

PendingPromise::PendingPromise(Napi::Env env, Napi::Value progress, std::function<void()> settled)
    : deferred_(Napi::Promise::Deferred::New(env)), settled_(std::move(settled)) {
  const napi_value callback = !progress.IsEmpty() && progress.IsFunction() ? static_cast<napi_value>(progress) : nullptr;
  const napi_value name = Napi::String::New(env, "fedlora job");
  if (napi_create_threadsafe_function(env, callback, nullptr, name, 0, 1, nullptr, nullptr, nullptr, on_javascript, &function_) != napi_ok)
    fail(Code::E_INTERNAL, "could not create a thread-safe function");
}

void PendingPromise::send(Message* message, bool last) {
  // On a closing environment the count is already dropped: release must not be called, and nothing will read the message.
  if (closed_ || napi_call_threadsafe_function(function_, message, napi_tsfn_blocking) != napi_ok) {
    closed_ = true;
    delete message;
    return;
  }
  if (last) napi_release_threadsafe_function(function_, napi_tsfn_release);
}

void PendingPromise::resolve(std::function<Napi::Value(Napi::Env)> convert) {
  send(new Message{shared_from_this(), std::move(convert), std::nullopt}, true);
}

void PendingPromise::reject(const Error& error) { send(new Message{shared_from_this(), {}, error}, true); }

void PendingPromise::post(double done, double total) {
  auto* message = new Message{shared_from_this(), {}, std::nullopt, true, done, total};
  send(message, false);
}

void PendingPromise::settle(Napi::Env env, Message& message) {
  try {
    if (message.error)
      deferred_.Reject(to_js(env, *message.error).Value());
    else
      deferred_.Resolve(message.convert(env));
  } catch (const Napi::Error& error) {
    deferred_.Reject(error.Value());
  } catch (const Error& error) {
    deferred_.Reject(to_js(env, error).Value());
  } catch (const std::bad_alloc&) {
    deferred_.Reject(to_js(env, Error(Code::E_MEMORY, "memory is exhausted")).Value());
  }
  if (settled_) settled_();
  settled_ = {};
  Environment::of(env).pending.erase(shared_from_this());
}

void PendingPromise::on_javascript(napi_env raw, napi_value callback, void*, void* data) {
  const std::unique_ptr<Message> message(static_cast<Message*>(data));
  if (raw == nullptr) return;  // the environment is going away
  Napi::Env env(raw);
  Napi::HandleScope scope(env);
  try {
    if (!message->progress)
      message->pending->settle(env, *message);
    else if (callback != nullptr)
      Napi::Function(env, callback).Call({Napi::Number::New(env, message->done), Napi::Number::New(env, message->total)});
  } catch (const Napi::Error&) {
    // JavaScript may not run any more, or the callback threw: src/model/load.ts keeps what it threw
  }
}

}  // namespace fedlora::seam
