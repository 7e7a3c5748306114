/// A checkpoint with its linear layers quantised, as bitsandbytes would save it.
#pragma once
#include <optional>

#include "convert/rewrite.h"
#include "model/description.h"
#include "quant/format.h"

namespace fedlora {

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

}  // namespace fedlora
