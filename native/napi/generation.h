/// NativeGeneration: a Generation (engine/generation.h) as JavaScript holds it; one call at a time.
#pragma once
#include "napi/host.h"

namespace fedlora::seam {

/// Checks the options and the prompt (E_ARGUMENT) and makes the object; reserves nothing yet.
Napi::Value make_generation(Napi::Env env, const std::shared_ptr<Host>& host, const std::shared_ptr<AdapterState>& adapter,
                            Napi::Value options);

}  // namespace fedlora::seam
