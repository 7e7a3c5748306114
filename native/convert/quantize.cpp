#include "convert/quantize.h"

#include <memory>
#include <unordered_set>

#include "base/error.h"
#include "engine/model_tensors.h"
#include "io/bnb_checkpoint.h"
#include "io/matrix_reader.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"

namespace fedlora {

namespace {

std::unique_ptr<TensorSource> open_tensors(const QuantizeRequest& request) {
  if (request.description) return std::make_unique<ModelTensors>(request.files, *request.description);
  return std::make_unique<Checkpoint>(request.files);
}

/// Names of the weights to quantise.
std::unordered_set<std::string> chosen_weights(const TensorSource& checkpoint, const std::vector<std::string>& modules) {
  std::unordered_set<std::string> chosen;
  for (const std::string& module : modules) {
    const std::string name = module + ".weight";
    if (is_bnb_quantized(checkpoint, name))
      fail(Code::E_ARGUMENT, "%s is already quantised: start from the original checkpoint", name.c_str());
    checkpoint.get(name);
    chosen.insert(name);
  }
  return chosen;
}

}  // namespace

RewriteResult quantize_checkpoint(const QuantizeRequest& request) {
  const std::unique_ptr<TensorSource> checkpoint = open_tensors(request);
  refuse_overwrite(request.files, request.output);
  const std::unordered_set<std::string> chosen = chosen_weights(*checkpoint, request.modules);
  ThreadPool pool(request.threads);
  std::vector<Matrix> matrices;  // the tensors to write point into them
  matrices.reserve(chosen.size());
  std::vector<NamedTensor> tensors;
  for (const std::string& name : checkpoint->names()) {
    const TensorView view = checkpoint->get(name);
    if (chosen.count(name) == 0) {
      tensors.push_back({{name, view.dtype, view.shape}, {}, view.data});
      continue;
    }
    matrices.push_back(read_matrix(*checkpoint, name, request.format, request.block, request.double_quantization, pool));
    for (NamedTensor& part : bnb_tensors(name, matrices.back(), view.dtype)) tensors.push_back(std::move(part));
  }
  sort_as_safetensors(tensors);
  write_safetensors(request.output, tensors, {{"format", "pt"}});
  return {static_cast<int64_t>(tensors.size()), static_cast<int64_t>(matrices.size()), file_bytes(request.output)};
}

}  // namespace fedlora
