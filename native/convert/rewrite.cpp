#include "convert/rewrite.h"

#include <sys/stat.h>

#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "base/half.h"
#include "io/bnb_checkpoint.h"
#include "io/matrix_reader.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "quant/encode.h"
#include "engine/model_tensors.h"

namespace fedlora {

namespace {

int64_t file_bytes(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<int64_t>(status.st_size) : 0;
}

TensorSpec spec_of(const std::string& name, const TensorView& view) { return {name, view.dtype, view.shape}; }

void refuse_overwrite(const std::vector<std::string>& files, const std::string& output) {
  for (const std::string& file : files) {
    struct stat a{}, b{};
    if (::stat(output.c_str(), &a) == 0 && ::stat(file.c_str(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
      fail(Code::E_ARGUMENT, "%s is read and written at once: choose another output folder", output.c_str());
  }
}

std::unique_ptr<TensorSource> open_tensors(const std::vector<std::string>& files, const std::optional<Description>& description) {
  if (description) return std::make_unique<ModelTensors>(files, *description);
  return std::make_unique<Checkpoint>(files);
}

/// One row of W + s·B·A, in place: row [K].
void add_row(const float* A, const float* B_row, int rank, float scaling, int64_t K, std::vector<float>& scratch, float* row) {
  std::fill(scratch.begin(), scratch.end(), 0.0f);
  for (int r = 0; r < rank; ++r)
    for (int64_t k = 0; k < K; ++k) scratch[static_cast<size_t>(k)] += B_row[r] * A[r * K + k];
  for (int64_t k = 0; k < K; ++k) row[k] += scaling * scratch[static_cast<size_t>(k)];
}

/// Rounds row n of a merged weight to `dtype` and writes it.
void write_row(SafetensorsWriter& writer, const std::string& name, DType dtype, int64_t n, const std::vector<float>& row,
               std::vector<uint16_t>& halves) {
  if (dtype != DType::f32)
    for (size_t k = 0; k < row.size(); ++k) halves[k] = dtype == DType::bf16 ? to_bf16(row[k]).bits : to_f16(row[k]).bits;
  const auto rounded = [&](size_t k) {
    return dtype == DType::f32 ? row[k] : dtype == DType::bf16 ? to_f32(bf16{halves[k]}) : to_f32(f16{halves[k]});
  };
  for (size_t k = 0; k < row.size(); ++k)
    if (!std::isfinite(rounded(k)))
      fail(Code::E_NONFINITE,
           "the merged weight %s is %g at [%lld, %zu], which %s does not hold. Merge into a checkpoint of a wider type (save the base as "
           "float32 or bfloat16), or train the adapter with a smaller alpha.",
           name.c_str(), static_cast<double>(row[k]), static_cast<long long>(n), k, dtype_name(dtype));
  if (dtype == DType::f32) return writer.write(name, row.data(), row.size() * sizeof(float));
  writer.write(name, halves.data(), row.size() * sizeof(uint16_t));
}

}  // namespace

RewriteResult quantize_checkpoint(const QuantizeRequest& request) {
  const std::unique_ptr<TensorSource> source = open_tensors(request.files, request.description);
  const TensorSource& checkpoint = *source;
  refuse_overwrite(request.files, request.output);
  ThreadPool pool(request.threads);
  std::unordered_set<std::string> chosen;
  for (const std::string& module : request.modules) {
    const std::string name = module + ".weight";
    if (is_bnb_quantized(checkpoint, name))
      fail(Code::E_ARGUMENT, "%s is already quantised: start from the original checkpoint", name.c_str());
    checkpoint.get(name);
    chosen.insert(name);
  }
  RewriteResult result;
  std::vector<Matrix> matrices;
  matrices.reserve(chosen.size());
  std::vector<NamedTensor> tensors;
  for (const std::string& name : checkpoint.names()) {
    const TensorView view = checkpoint.get(name);
    if (chosen.count(name) == 0) {
      tensors.push_back({spec_of(name, view), {}, view.data});
      continue;
    }
    matrices.push_back(read_matrix(checkpoint, name, request.format, request.block, request.double_quantization, pool));
    for (NamedTensor& part : bnb_tensors(name, matrices.back(), view.dtype)) tensors.push_back(std::move(part));
    ++result.changed;
  }
  sort_as_safetensors(tensors);
  write_safetensors(request.output, tensors, {{"format", "pt"}});
  result.tensors = static_cast<int64_t>(tensors.size());
  result.bytes = file_bytes(request.output);
  return result;
}

RewriteResult merge_checkpoint(const std::vector<std::string>& files, const std::string& output, const Description& description,
                               const Adapter& adapter) {
  const ModelTensors checkpoint(files, description);
  refuse_overwrite(files, output);
  std::unordered_map<std::string, AdapterSlot> slots;
  std::unordered_map<std::string, std::pair<int64_t, int64_t>> shapes;
  for (size_t l = 0; l < description.layers.size(); ++l)
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      const std::string name = description.layers[l].linear[linear] + ".weight";
      slots[name] = adapter.slot(static_cast<int64_t>(l), linear);
      shapes[name] = {description.out_features(linear), description.in_features(linear)};
    }

  // The parts of a quantised weight other than itself are dropped; the weight comes back as bf16.
  std::unordered_set<std::string> dropped, decoded;
  for (const std::string& name : checkpoint.names()) {
    if (!is_bnb_quantized(checkpoint, name)) continue;
    decoded.insert(name);
    for (const std::string& part : bnb_part_names(checkpoint, name))
      if (part != name) dropped.insert(part);
  }
  std::vector<TensorSpec> specs;
  for (const std::string& name : checkpoint.names()) {
    if (dropped.count(name) != 0) continue;
    if (decoded.count(name) == 0) {
      specs.push_back(spec_of(name, checkpoint.get(name)));
      continue;
    }
    const auto shape = shapes.find(name);
    if (shape == shapes.end()) fail(Code::E_UNSUPPORTED, "%s is quantised but is not one of the model's linear layers", name.c_str());
    specs.push_back({name, DType::bf16, {shape->second.first, shape->second.second}});
  }

  RewriteResult result;
  SafetensorsWriter writer(output, specs, {{"format", "pt"}});
  ThreadPool pool(1);
  for (const TensorSpec& spec : specs) {
    const auto slot = slots.find(spec.name);
    const bool adapted = slot != slots.end() && slot->second.rank > 0;
    if (!adapted && decoded.count(spec.name) == 0) {
      const TensorView view = checkpoint.get(spec.name);
      writer.write(spec.name, view.data, view.bytes);
      checkpoint.release(spec.name);
      continue;
    }
    if (spec.dtype != DType::f32 && spec.dtype != DType::bf16 && spec.dtype != DType::f16)
      fail(Code::E_DTYPE, "tensor %s is %s, expected F32, F16 or BF16", spec.name.c_str(), dtype_name(spec.dtype));
    const Matrix weight = read_matrix(checkpoint, spec.name, std::nullopt, 0, false, pool);
    const auto expected = shapes.at(spec.name);
    if (weight.N != expected.first || weight.K != expected.second)
      fail(Code::E_SHAPE, "tensor %s is [%lld, %lld], expected [%lld, %lld] by config.json", spec.name.c_str(),
           static_cast<long long>(weight.N), static_cast<long long>(weight.K), static_cast<long long>(expected.first),
           static_cast<long long>(expected.second));
    std::vector<float> row(static_cast<size_t>(weight.K)), scratch(row.size());
    std::vector<uint16_t> halves(row.size());
    for (int64_t n = 0; n < weight.N; ++n) {
      decode(weight, n * weight.K, weight.K, row.data());
      if (adapted) {
        const AdapterSlot& s = slot->second;
        add_row(adapter.values.data() + s.A, adapter.values.data() + s.B + n * s.rank, s.rank, s.scaling, weight.K, scratch, row.data());
      }
      write_row(writer, spec.name, spec.dtype, n, row, halves);
    }
    if (adapted) ++result.changed;
  }
  writer.finish();
  result.tensors = static_cast<int64_t>(specs.size());
  result.bytes = file_bytes(output);
  return result;
}

}  // namespace fedlora
