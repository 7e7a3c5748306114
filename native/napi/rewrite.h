/// Whole files written without an engine: a host of its own for the time of one job.
#pragma once
#include <utility>

#include "convert/rewrite.h"
#include "napi/host.h"

namespace fedlora::seam {

inline Napi::Object encode_rewrite(Napi::Env env, const RewriteResult& result, const char* changed) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tensors", static_cast<double>(result.tensors));
  object.Set(changed, static_cast<double>(result.changed));
  object.Set("bytes", static_cast<double>(result.bytes));
  return object;
}

/// The promise gives { tensors, bytes } and, under the name `changed`, how many were changed.
template <class Work>
Napi::Value run_alone(Napi::Env env, Work work, const char* changed) {
  auto host = std::make_shared<Host>(env);
  Host* key = host.get();
  Environment::of(env).loading.emplace(key, host);
  Environment* environment = &Environment::of(env);
  return run_job(
      env, host->queue, [work = std::move(work)](const std::atomic<bool>&, PendingPromise&) { return work(); },
      [changed](Napi::Env env, RewriteResult& result) -> Napi::Value { return encode_rewrite(env, result, changed); }, nullptr,
      [environment, key] { environment->loading.erase(key); });
}

}  // namespace fedlora::seam
