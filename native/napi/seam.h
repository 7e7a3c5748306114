/// What every file of the seam shares: errors across the border, decoding of JavaScript values, type tags, per-environment state.
/// JavaScript values are copied into plain structs before work leaves the JavaScript thread; no exception crosses the border.
#pragma once
#include <napi.h>

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/chacha20.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/load.h"

namespace fedlora::seam {

class JobQueue;
class PendingPromise;
struct Host;

/// State of one JavaScript environment (main thread or worker).
struct Environment {
  Napi::FunctionReference checkpoint, model, adapter, session, generation, aggregator, tokenizer;  // constructors
  std::set<JobQueue*> queues;
  std::map<Host*, std::shared_ptr<Host>> loading;     // engines whose load is in flight
  std::set<std::shared_ptr<PendingPromise>> pending;  // so that what a promise holds goes on the JavaScript thread, never on a job's
  std::unique_ptr<ThreadPool> team;                   // helpers of the JavaScript thread, made when first needed
  /// A team for a call that handles `elements` numbers: null for a short one, which is done before a sleeping thread wakes. At most the
  /// machine's cores work; 0 asks for all of them.
  ThreadPool* team_for(int64_t elements, int threads);
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
};

/// A JavaScript Error with `code`.
Napi::Error to_js(Napi::Env env, const Error& error);

/// Runs `body` and turns every C++ exception into a JavaScript one.
template <class Body>
auto guard(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Error& error) {
    throw to_js(env, error);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw to_js(env, Error(Code::E_MEMORY, "memory is exhausted"));
  } catch (const std::exception& error) {
    throw to_js(env, Error(Code::E_INTERNAL, error.what()));
  }
}

/// Fields of an object; a missing or wrong one is E_ARGUMENT naming the field.
class Fields {
 public:
  Fields(Napi::Value value, const char* what);
  Napi::Value value(const char* name) const;
  bool has(const char* name) const;
  double number(const char* name) const;
  int64_t integer(const char* name, int64_t least, int64_t most) const;
  bool boolean(const char* name) const;
  std::string text(const char* name) const;
  std::string text_or_empty(const char* name) const;
  std::vector<std::string> texts(const char* name) const;
  Napi::Array array(const char* name) const;
  /// One of `names`; gives its index.
  int choice(const char* name, std::span<const char* const> names) const;

 private:
  [[noreturn]] void wrong(const char* name, const char* expected) const;
  Napi::Object object_;
  std::string what_;
};

/// The number of threads that a call asks for, 1 to 1024; 0, all cores, when it is left out.
int threads_of(Napi::Value value, const char* what);

/// Copies of typed arrays. Shared, resizable and detached buffers are refused (E_ARGUMENT).
std::vector<int32_t> copy_int32(Napi::Value value, const char* what);
std::vector<float> copy_float32(Napi::Value value, const char* what);
std::vector<double> copy_float64(Napi::Value value, const char* what);
std::vector<uint8_t> copy_uint8(Napi::Value value, const char* what);

/// The elements of a typed array where they lie, for a call that ends before JavaScript goes on: nothing else can change them
/// meanwhile, since shared memory is refused like everything that `copy_…` refuses. `span` runs no JavaScript; whoever runs some
/// (reads a field, makes a large array) asks for it afterwards.
template <class T>
class TypedView {
 public:
  TypedView(Napi::Value value, const char* what);
  std::span<T> span() const { return elements(value_, what_); }
  /// The elements of an array that is known to be one, such as one just made.
  static std::span<T> elements(Napi::Value value, const char* what);

 private:
  Napi::Value value_;
  const char* what_;
};

inline bool is_float64(Napi::Value value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array;
}

/// E_MEMORY when JavaScript cannot hold it; V8's own allocation would end the process instead. Zeros.
Napi::Float32Array new_float32(Napi::Env env, size_t length);
Napi::Float64Array new_float64(Napi::Env env, size_t length);
Napi::Float32Array new_float32(Napi::Env env, std::span<const float> values);
Napi::Uint8Array new_uint8(Napi::Env env, size_t length);

/// 32 bytes. E_ARGUMENT for another number of them.
ChaChaKey decode_noise_key(Napi::Value value, const char* what);
Description decode_description(Napi::Value value);
RowSwap decode_row_swap(Napi::Value value);
/// The optional field `stored` of an object.
std::vector<StoredTensor> decode_stored(const Fields& options);
PackedWeights decode_packed(const Fields& options);
LoadOptions decode_load_options(Napi::Value value);
PlanRequest decode_plan_request(Napi::Value value);
std::vector<AdapterLayer> decode_adapter_layers(Napi::Value value);
std::vector<int> decode_ranks(Napi::Value value, const char* what);
Batch decode_batch(const Description& description, Napi::Value value);
Recompute decode_recompute(const Fields& fields);
Napi::Array encode_shape(Napi::Env env, const std::vector<int64_t>& shape);
Napi::Object encode_plan(Napi::Env env, const MemoryPlan& plan);

/// Tags that tell our wrapped objects apart from any other.
/// Half of a tag is an address in this very library: objects of another copy or version that is loaded beside it are foreign.
extern const napi_type_tag model_tag, adapter_tag, aggregator_tag, session_tag, tokenizer_tag;

/// A read-only property. V8 ties methods to their class, but lets an accessor be called with any wrapped object as `this`: TypeError
/// when it is not of the tagged class.
template <class T, Napi::Value (T::*get)(const Napi::CallbackInfo&), const napi_type_tag& tag>
napi_property_descriptor accessor(const char* name) {
  const napi_callback getter = [](napi_env env, napi_callback_info raw) -> napi_value {
    const Napi::CallbackInfo info(env, raw);
    try {
      if (!info.This().IsObject() || !info.This().As<Napi::Object>().CheckTypeTag(&tag))
        throw Napi::TypeError::New(env, "Illegal invocation");
      return (T::Unwrap(info.This().As<Napi::Object>())->*get)(info);
    } catch (const Napi::Error& error) {
      error.ThrowAsJavaScriptException();
      return nullptr;
    }
  };
  return {name, nullptr, nullptr, getter, nullptr, nullptr, napi_default, nullptr};
}

/// Bytes that a JavaScript object keeps alive outside of V8's heap, so that its garbage collector knows what is at stake.
class ExternalMemory {
 public:
  explicit ExternalMemory(Napi::Env env) : env_(env) {}
  ~ExternalMemory() { set(0); }
  ExternalMemory(const ExternalMemory&) = delete;
  void set(size_t bytes) {
    if (bytes != bytes_) Napi::MemoryManagement::AdjustExternalMemory(env_, static_cast<int64_t>(bytes) - static_cast<int64_t>(bytes_));
    bytes_ = bytes;
  }

 private:
  Napi::Env env_;
  size_t bytes_ = 0;
};

}  // namespace fedlora::seam
