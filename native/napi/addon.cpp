// The addon's entry: per-environment state, classes, functions. Works in worker threads and twice in a process.
#include "napi/host.h"

namespace fedlora::seam {

namespace {

/// Runs before the environment goes: jobs are cancelled and joined, so that no thread outlives it.
void leave(void* data) {
  auto* environment = static_cast<Environment*>(data);
  while (!environment->queues.empty()) (*environment->queues.begin())->leave(*environment);
  environment->loading.clear();
  environment->pending.clear();
  environment->team.reset();
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment();
  env.SetInstanceData(environment);
  napi_add_env_cleanup_hook(env, leave, environment);
  environment->checkpoint = Napi::Persistent(define_checkpoint(env));
  environment->model = Napi::Persistent(define_model(env));
  environment->adapter = Napi::Persistent(define_adapter(env));
  environment->session = Napi::Persistent(define_session(env));
  environment->generation = Napi::Persistent(define_generation(env));
  environment->aggregator = Napi::Persistent(define_aggregator(env));
  environment->tokenizer = Napi::Persistent(define_tokenizer(env));
  define_model_functions(env, exports);
  define_adapter_functions(env, exports);
  define_checkpoint_functions(env, exports);
  define_gguf_functions(env, exports);
  define_codec_functions(env, exports);
  define_vector_functions(env, exports);
  define_masking_functions(env, exports);
  define_order_functions(env, exports);
  define_factor_functions(env, exports);
  define_tokenizer_functions(env, exports);
  define_info_functions(env, exports);
  define_cuda_functions(env, exports);
  define_bench_functions(env, exports);
  return exports;
}

}  // namespace

}  // namespace fedlora::seam

static Napi::Object initialize(Napi::Env env, Napi::Object exports) { return fedlora::seam::initialize(env, exports); }

NODE_API_MODULE(fedlora, initialize)
