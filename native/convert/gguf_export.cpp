#include "convert/gguf_export.h"

#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "convert/merge.h"
#include "engine/model_tensors.h"
#include "io/gguf.h"
#include "io/matrix_reader.h"
#include "io/plain_tensor.h"
#include "quant/encode.h"
#include "quant/ggml_encode.h"
#include "quant/weight.h"

namespace fedlora {

namespace {

/// Keys of the source that say how its own file is made, not what the model is.
bool of_file(const std::string& name) {
  return name.starts_with("split.") || name == "general.alignment" || name == "general.file_type" || name == "general.quantization_version";
}

std::vector<GgufField> all_fields(const GgufExport& request) {
  if (!request.keep_fields) return request.fields;
  std::unordered_map<std::string, const GgufField*> own;
  for (const GgufField& field : request.fields) own.emplace(field.name, &field);
  std::vector<GgufField> fields;
  const GgufFile source(request.files[0]);
  for (const GgufKey& key : source.header.keys)
    if (!of_file(key.name) && own.count(key.name) == 0)
      fields.push_back({key.name, key.value.type, key.value.is_list, key.value.count, std::string(key.value.bytes)});
  fields.insert(fields.end(), request.fields.begin(), request.fields.end());
  return fields;
}

class Exporter {
 public:
  Exporter(const GgufExport& request, const Description& description, const Adapter* adapter)
      : request_(request), tensors_(request.files, description, request.stored, request.packed), adapter_(adapter) {
    for (ModelTensor& tensor : list_linears(description)) {
      std::string name = tensor.name();
      linears_.emplace(std::move(name), std::move(tensor));
    }
  }

  TensorSpec spec_of(const GgufPart& part) const {
    if (part.from.empty()) return {part.name, DType::f32, {static_cast<int64_t>(part.numbers.size())}};
    const auto linear = linears_.find(part.from);  // codes of bitsandbytes are flat: the description knows their shape
    const std::vector<int64_t> shape = linear != linears_.end() ? linear->second.shape() : tensors_.describe(part.from).shape;
    if (shape.size() < 2) return {part.name, DType::f32, shape};
    const bool whole = shape.back() % dtype_traits(request_.type).block_elements == 0;
    return {part.name, whole ? request_.type : DType::f16, shape};
  }

  /// True when the adapter changed it.
  bool write(const GgufPart& part, const TensorSpec& spec, GgufWriter& writer) const {
    if (spec.shape.size() > 1) return write_matrix(part, spec, writer);
    std::vector<float> numbers = part.from.empty() ? part.numbers : read_vector(tensors_, part.from), out = numbers;
    for (float& number : numbers) number += part.add;
    swap_rows(reinterpret_cast<const uint8_t*>(numbers.data()), static_cast<int64_t>(numbers.size()), sizeof(float), part.swap.back(),
              reinterpret_cast<uint8_t*>(out.data()), part.name);
    writer.write(out.data(), out.size() * sizeof(float));
    return false;
  }

 private:
  bool write_matrix(const GgufPart& part, const TensorSpec& spec, GgufWriter& writer) const {
    ThreadPool pool(1);
    const Matrix weight = read_matrix(tensors_, part.from, std::nullopt, 0, false, pool);
    const auto linear = linears_.find(part.from);
    if (spec.shape != std::vector<int64_t>{weight.N, weight.K})
      fail(Code::E_SHAPE, "tensor %s is [%lld, %lld], which is not what its model's description says.", part.from.c_str(),
           static_cast<long long>(weight.N), static_cast<long long>(weight.K));
    const bool adapted =
        adapter_ != nullptr && linear != linears_.end() && adapter_->slot(linear->second.layer, linear->second.place).rank > 0;
    std::vector<float> row(static_cast<size_t>(weight.K)), product(row.size()), back(row.size());
    AlignedBuffer<uint8_t> bytes(stored_bytes(spec.dtype, row.size()));
    const std::vector<int64_t> order = row_order(weight.N, part);
    for (int64_t n = 0; n < weight.N; ++n) {
      const int64_t from = order[static_cast<size_t>(n)];
      decode(weight, from * weight.K, weight.K, row.data());
      if (adapted) add_row(*adapter_, linear->second, from, product, row);
      for (float& number : row) number += part.add;
      encode_ggml(spec.dtype, row.data(), weight.K, bytes.data());
      check_finite(spec, from, row, bytes.data(), back);
      writer.write(bytes.data(), bytes.bytes());
    }
    return adapted;
  }

  /// By row of the file, the row of the model.
  static std::vector<int64_t> row_order(int64_t rows, const GgufPart& part) {
    std::vector<int64_t> plain(static_cast<size_t>(rows)), order = plain;
    for (size_t n = 0; n < plain.size(); ++n) plain[n] = static_cast<int64_t>(n);
    swap_rows(reinterpret_cast<const uint8_t*>(plain.data()), rows, sizeof(int64_t), part.swap.back(),
              reinterpret_cast<uint8_t*>(order.data()), part.name);
    return order;
  }

  /// A number beyond half precision makes a block's scale infinite, and NaN of the zeros beside it.
  static void check_finite(const TensorSpec& spec, int64_t n, const std::vector<float>& row, const uint8_t* bytes,
                           std::vector<float>& back) {
    const TensorView view = {spec.dtype, {1, static_cast<int64_t>(row.size())}, bytes, 0};
    load_weight(view, 0, static_cast<int64_t>(row.size()), back.data());
    for (size_t k = 0; k < row.size(); ++k)
      if (!std::isfinite(back[k]))
        fail(Code::E_NONFINITE, "the weight %s is %g at [%lld, %zu], which %s does not hold. Write the file as bf16 or f32.",
             spec.name.c_str(), static_cast<double>(row[k]), static_cast<long long>(n), k, dtype_name(spec.dtype));
  }

  const GgufExport& request_;
  ModelTensors tensors_;
  const Adapter* adapter_;
  std::unordered_map<std::string, ModelTensor> linears_;  // by name
};

}  // namespace

RewriteResult export_gguf(const GgufExport& request, const Description& description, const Adapter* adapter) {
  if (!can_encode_ggml(request.type)) fail(Code::E_DTYPE, "GGUF is not written as %s.", dtype_name(request.type));
  refuse_overwrite(request.files, request.output);
  const Exporter exporter(request, description, adapter);
  std::vector<TensorSpec> specs;
  for (const GgufPart& part : request.parts) specs.push_back(exporter.spec_of(part));
  GgufWriter writer(request.output, all_fields(request), specs);
  RewriteResult result;
  for (size_t i = 0; i < specs.size(); ++i) result.changed += exporter.write(request.parts[i], specs[i], writer);
  writer.finish();
  result.tensors = static_cast<int64_t>(specs.size());
  result.bytes = file_bytes(request.output);
  return result;
}

}  // namespace fedlora
