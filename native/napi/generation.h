/// NativeGeneration: one prompt being continued. The prompt runs with the first call to next().
#pragma once
#include "model/sampler.h"
#include "napi/host.h"

namespace fedlora::seam {

struct GenerationState {
  std::shared_ptr<Host> host;
  std::shared_ptr<AdapterState> adapter;  // or null
  std::vector<int32_t> prompt, end_ids;
  int64_t max_tokens = 0, generated = 0;
  SamplerOptions sampler;
  KvCache cache;
  std::vector<float> logits;
  bool done = false, busy = false, disposed = false;
};

/// Checks the options and the prompt (E_ARGUMENT); reserves nothing yet.
std::shared_ptr<GenerationState> make_generation(const std::shared_ptr<Host>& host, const std::shared_ptr<AdapterState>& adapter,
                                                 Napi::Value options);

}  // namespace fedlora::seam
