/// Long work off the JavaScript thread: each engine has one thread of its own that runs its jobs (never libuv's pool), those of one lane in
/// order. Generations are the urgent lane (base/work_queue.h): they take turns with the micro-batches of a step. A job is a C++ closure
/// over copies and shared pointers; its result is turned into a JavaScript value back on the JavaScript thread.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "base/work_queue.h"
#include "napi/seam.h"

namespace fedlora::seam {

/// A work queue that ends with its environment.
class JobQueue : public WorkQueue {
 public:
  explicit JobQueue(Napi::Env env);
  ~JobQueue();
  /// The environment goes away: stop and forget it.
  void leave(Environment& environment);

 private:
  Environment* environment_;
};

/// One job's way back: a thread-safe function whose messages hold the pending promise. The environment holds it too, until it is
/// settled, so that `settled` and what it keeps alive (the host of the very job) are let go on the JavaScript thread.
class PendingPromise : public std::enable_shared_from_this<PendingPromise> {
 public:
  static std::shared_ptr<PendingPromise> make(Napi::Env env, Napi::Value progress, std::function<void()> settled);
  Napi::Promise promise() const { return deferred_.Promise(); }
  /// On the job's thread, once: `convert` runs on the JavaScript thread.
  void resolve(std::function<Napi::Value(Napi::Env)> convert);
  void reject(const Error& error);
  /// Progress, delivered in order and before the result.
  void post(double done, double total);

 private:
  PendingPromise(Napi::Env env, Napi::Value progress, std::function<void()> settled);
  struct Message;
  void settle(Napi::Env env, Message& message);
  static void on_javascript(napi_env env, napi_value callback, void* context, void* data);
  void send(Message* message, bool last);
  Napi::Promise::Deferred deferred_;
  std::function<void()> settled_;  // runs on the JavaScript thread, before anybody can see that the promise is settled
  napi_threadsafe_function function_ = nullptr;
  bool closed_ = false;  // the environment is going away: the function must not be touched again
};

/// Runs `work(cancel, pending)` on the job's thread, then `convert(env, result)` on the JavaScript thread. Neither may own the queue.
template <class Work, class Convert>
Napi::Value run_job(Napi::Env env, JobQueue& queue, Work work, Convert convert, CancelFlag cancel = nullptr,
                    std::function<void()> settled = {}, Napi::Value progress = {}, Lane lane = Lane::steady) {
  auto pending = PendingPromise::make(env, progress, std::move(settled));
  const Napi::Promise promise = pending->promise();
  if (!cancel) cancel = std::make_shared<std::atomic<bool>>(false);
  queue.push(
      lane,
      [pending, work = std::move(work), convert = std::move(convert), cancel]() mutable {
        try {
          auto result = std::make_shared<decltype(work(*cancel, *pending))>(work(*cancel, *pending));
          pending->resolve([result, convert](Napi::Env env) -> Napi::Value { return convert(env, *result); });
        } catch (const Error& error) {
          pending->reject(error);
        } catch (const Cancelled&) {
          pending->reject(Error(Code::E_DISPOSED, "the work was cancelled because its model went away"));
        } catch (const std::bad_alloc&) {
          pending->reject(Error(Code::E_MEMORY, "memory is exhausted"));
        } catch (const std::exception& error) {
          pending->reject(Error(Code::E_INTERNAL, error.what()));
        }
      },
      [pending] { pending->reject(Error(Code::E_DISPOSED, "the work was dropped because its model went away")); }, cancel);
  return promise;
}

}  // namespace fedlora::seam
