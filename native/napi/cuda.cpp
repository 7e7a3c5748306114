// What there is of CUDA on this machine, for doctor: where the library was looked for, what it says, and the devices.
#include "backend/cuda/load_library.h"
#include "napi/host.h"

namespace fedlora::seam {

namespace {

/// CUDA's 1000 × major + 10 × minor as "12.8".
Napi::Value version(Napi::Env env, int number) {
  if (number == 0) return env.Null();
  return Napi::String::New(env, std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10));
}

Napi::Array attempts(Napi::Env env, const cuda::Library& library) {
  Napi::Array list = Napi::Array::New(env);
  for (const cuda::Attempt& attempt : library.attempts) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("place", attempt.place);
    entry.Set("problem", attempt.problem.empty() ? env.Null() : Napi::String::New(env, attempt.problem));
    list.Set(list.Length(), entry);
  }
  return list;
}

void set_problem(Napi::Env env, Napi::Object object, const char* code, const std::string& problem) {
  object.Set("code", code == nullptr ? env.Null() : Napi::String::New(env, code));
  object.Set("problem", code == nullptr ? env.Null() : Napi::String::New(env, problem));
}

Napi::Object device(Napi::Env env, const cuda::Api& api, int index) {
  Napi::Object object = Napi::Object::New(env);
  cuda::DeviceInfo info{};
  cuda::Status status{};
  const cuda::Verdict verdict = api.describe(index, &info, &status);
  object.Set("device", "cuda:" + std::to_string(index));
  object.Set("name", info.name);
  object.Set("capability", std::to_string(info.capability / 10) + "." + std::to_string(info.capability % 10));
  object.Set("totalBytes", static_cast<double>(info.total_bytes));
  object.Set("freeBytes", static_cast<double>(info.free_bytes));
  set_problem(env, object, verdict == cuda::Verdict::ok ? nullptr : code_name(cuda::code_of(verdict)), status.text);
  return object;
}

/// cudaInfo(libraries): never throws for what a machine lacks.
Napi::Value cuda_info(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  return guard(env, [&]() -> Napi::Value {
    Napi::Object request = Napi::Object::New(env);
    request.Set("libraries", call[0]);
    const cuda::Library library = cuda::load_library(Fields(request, "cudaInfo").texts("libraries"));
    Napi::Object object = Napi::Object::New(env);
    object.Set("library", library.api == nullptr ? env.Null() : Napi::String::New(env, library.place));
    object.Set("looked", attempts(env, library));
    cuda::Machine machine{};
    const char* code = library.api == nullptr ? code_name(library.code) : nullptr;
    std::string problem = library.problem;
    if (library.api != nullptr) {
      cuda::Status status{};
      const cuda::Verdict verdict = library.api->machine(&machine, &status);
      if (verdict != cuda::Verdict::ok) code = code_name(cuda::code_of(verdict));
      problem = status.text;
    }
    object.Set("driver", version(env, machine.driver));
    object.Set("runtime", version(env, machine.runtime));
    Napi::Array devices = Napi::Array::New(env);
    if (code == nullptr)
      for (int i = 0; i < machine.devices; ++i) devices.Set(devices.Length(), device(env, *library.api, i));
    object.Set("devices", devices);
    set_problem(env, object, code, problem);
    return object;
  });
}

}  // namespace

void define_cuda_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("cudaInfo", Napi::Function::New(env, cuda_info, "cudaInfo"));
}

}  // namespace fedlora::seam
