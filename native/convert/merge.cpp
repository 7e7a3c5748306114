#include "convert/merge.h"

#include <cmath>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/half.h"
#include "engine/model_tensors.h"
#include "io/bnb_checkpoint.h"
#include "io/matrix_reader.h"
#include "io/safetensors_writer.h"
#include "model/residual.h"
#include "model/tensor_list.h"
#include "quant/encode.h"

namespace fedlora {

namespace {

/// The tensors of the merged checkpoint. Of a quantised weight its parts are left out, and it becomes bf16.
struct Plan {
  Plan(const ModelTensors& checkpoint, const Description& description, const PackedWeights& packed) {
    for (ModelTensor& tensor : list_linears(description)) {
      std::string name = tensor.name();
      linears.emplace(std::move(name), std::move(tensor));
    }
    std::unordered_set<std::string> parts;
    for (const std::string& name : checkpoint.names()) {
      if (packed.packing != Packing::none && linears.count(name) != 0) quantized.insert(name);
      if (!is_bnb_quantized(checkpoint, name)) continue;
      quantized.insert(name);
      for (const std::string& part : bnb_part_names(checkpoint, name))
        if (part != name) parts.insert(part);
    }
    for (const std::string& name : checkpoint.names()) {
      if (parts.count(name) != 0) continue;
      const TensorView view = checkpoint.describe(name);
      const auto linear = linears.find(name);
      names.push_back(name);
      specs.push_back({checkpoint.written(name), view.dtype, view.shape});
      if (description.transposed_linears && linear != linears.end()) specs.back().shape = {linear->second.K, linear->second.N};
      if (quantized.count(name) == 0) continue;
      if (linear == linears.end()) fail(Code::E_UNSUPPORTED, "%s is quantised but is not one of the model's linear layers", name.c_str());
      specs.back().dtype = DType::bf16;
      if (!description.transposed_linears) specs.back().shape = linear->second.shape();
    }
  }

  std::vector<std::string> names;  // the description's, and beside them what is written
  std::vector<TensorSpec> specs;
  std::unordered_map<std::string, ModelTensor> linears;  // by name
  std::unordered_set<std::string> quantized;
};

/// sum [K] += B_row [R]·A [R,K].
void add_product(const float* B_row, const float* A, int rank, std::vector<float>& sum) {
  const size_t K = sum.size();
  for (size_t r = 0; r < static_cast<size_t>(rank); ++r)
    for (size_t k = 0; k < K; ++k) sum[k] += B_row[r] * A[r * K + k];
}

}  // namespace

void add_row(const Adapter& adapter, const ModelTensor& linear, int64_t n, std::vector<float>& product, std::vector<float>& row) {
  const AdapterSlot& slot = adapter.slot(linear.layer, linear.place);
  std::fill(product.begin(), product.end(), 0.0f);
  add_product(adapter.values.data() + slot.B + n * slot.rank, adapter.values.data() + slot.A, slot.rank, product);
  if (const Residual* residual = adapter.residual().get()) {
    const ResidualMap::Slot& frozen = residual->slot(linear.layer, linear.place);
    if (frozen.rank > 0) add_product(residual->B(frozen) + n * frozen.rank, residual->A(frozen), frozen.rank, product);
  }
  for (size_t k = 0; k < row.size(); ++k) row[k] += slot.scaling * product[k];
}

namespace {

/// Rounds row n of a merged weight as it is stored to `dtype` and writes it.
void write_row(SafetensorsWriter& writer, const std::string& name, DType dtype, int64_t n, std::span<const float> row,
               std::vector<uint16_t>& halves) {
  halves.resize(row.size());
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

/// One linear layer, row by row; one that is stored transposed as a whole.
void write_merged(SafetensorsWriter& writer, const ModelTensors& checkpoint, const TensorSpec& spec, const ModelTensor& linear,
                  bool transposed, const Adapter& adapter) {
  if (spec.dtype != DType::f32 && spec.dtype != DType::bf16 && spec.dtype != DType::f16)
    fail(Code::E_DTYPE, "tensor %s is %s, expected F32, F16 or BF16", spec.name.c_str(), dtype_name(spec.dtype));
  ThreadPool pool(1);
  const Matrix weight = read_matrix(checkpoint, linear.name(), std::nullopt, 0, false, pool);
  if (weight.N != linear.N || weight.K != linear.K)
    fail(Code::E_SHAPE, "tensor %s is [%lld, %lld], expected [%lld, %lld] by config.json", spec.name.c_str(),
         static_cast<long long>(weight.N), static_cast<long long>(weight.K), static_cast<long long>(linear.N),
         static_cast<long long>(linear.K));
  const bool adapted = adapter.slot(linear.layer, linear.place).rank > 0;
  std::vector<float> row(static_cast<size_t>(weight.K)), product(row.size());
  std::vector<uint16_t> halves;
  std::vector<float> whole(transposed ? static_cast<size_t>(weight.elements()) : 0);  // [K,N]
  for (int64_t n = 0; n < weight.N; ++n) {
    decode(weight, n * weight.K, weight.K, row.data());
    if (adapted) add_row(adapter, linear, n, product, row);
    if (!transposed) write_row(writer, spec.name, spec.dtype, n, row, halves);
    for (int64_t k = 0; transposed && k < weight.K; ++k) whole[static_cast<size_t>(k * weight.N + n)] = row[static_cast<size_t>(k)];
  }
  for (int64_t k = 0; transposed && k < weight.K; ++k)
    write_row(writer, spec.name, spec.dtype, k, std::span(whole).subspan(static_cast<size_t>(k * weight.N), static_cast<size_t>(weight.N)),
              halves);
}

}  // namespace

RewriteResult merge_checkpoint(const std::vector<std::string>& files, const std::string& output, const Description& description,
                               const Adapter& adapter, const PackedWeights& packed) {
  const ModelTensors checkpoint(files, description, {}, packed);
  refuse_overwrite(files, output);
  const Plan plan(checkpoint, description, packed);
  RewriteResult result;
  SafetensorsWriter writer(output, plan.specs, {{"format", "pt"}});
  for (size_t i = 0; i < plan.specs.size(); ++i) {
    const std::string& name = plan.names[i];
    const TensorSpec& spec = plan.specs[i];
    const auto linear = plan.linears.find(name);
    const bool adapted = linear != plan.linears.end() && adapter.slot(linear->second.layer, linear->second.place).rank > 0,
               transposed = linear != plan.linears.end() && description.transposed_linears;
    if (adapted || transposed || plan.quantized.count(name) != 0) {
      write_merged(writer, checkpoint, spec, linear->second, transposed, adapter);
    } else {
      const TensorView view = checkpoint.get(name);
      writer.write(spec.name, view.data, view.bytes);
      checkpoint.release(name);
    }
    if (adapted) ++result.changed;
  }
  writer.finish();
  result.tensors = static_cast<int64_t>(plan.specs.size());
  result.bytes = file_bytes(output);
  return result;
}

}  // namespace fedlora
