/// Checkpoints in, checkpoints out, one tensor at a time: quantise the linear layers, or merge an adapter into them.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "engine/engine.h"

namespace fedlora {

struct RewriteResult {
  int64_t tensors = 0;  // written
  int64_t changed = 0;  // linear weights quantised or merged
  int64_t bytes = 0;    // of the file
};

struct QuantizeRequest {
  std::vector<std::string> files;
  std::string output;                      // the new model.safetensors
  std::vector<std::string> modules;        // linear layers to quantise, without ".weight"
  std::optional<Description> description;  // tensors are written under its names; without one, under those they are stored with
  Format format = Format::nf4;             // nf4, fp4 or int8
  bool double_quantization = false;
  int block = 64;
  int threads = 1;
};

/// Writes what bitsandbytes would: codes, scales and quantisation state of `modules`, every other tensor as stored.
RewriteResult quantize_checkpoint(const QuantizeRequest& request);

/// W + s·B·A in float32, rounded once to the stored type; layers that bitsandbytes quantised become bf16. Other tensors are copied
/// (from a quantised folder, its quantisation state is left out), all under the description's names.
/// E_NONFINITE, naming tensor, row, column and value, when a sum is beyond the type; nothing is left at `output` then.
RewriteResult merge_checkpoint(const std::vector<std::string>& files, const std::string& output, const Description& description,
                               const Adapter& adapter);

}  // namespace fedlora
