#include "training/core.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/vector_math.h"

namespace fedlora {

namespace {
void check(const char* what, std::span<const float> values, size_t size) {
  if (values.size() != size) fail(Code::E_SHAPE, "%s: %zu values, expected %zu", what, values.size(), size);
  for (size_t i = 0; i < size; ++i)
    if (!std::isfinite(values[i])) fail(Code::E_NONFINITE, "%s: value %zu is not finite", what, i);
}
}  // namespace

Core::Core(const AdapterMap& map, std::span<const float> A, std::span<const float> values) {
  int64_t A_size = 0, size = 0;
  for (const TensorLayout& tensor : map.layout()) {
    if (tensor.part != Part::lora_A) continue;
    layers_.push_back({tensor.rows, tensor.columns, tensor.offset, A_size, size});
    of_A_.push_back(tensor.range());
    A_size += tensor.size();
    size += tensor.rows * tensor.rows;
  }
  check("the core's lora_A", A, static_cast<size_t>(A_size));
  A_ = AlignedBuffer<float>(A.size());
  std::copy(A.begin(), A.end(), A_.begin());
  this->values = AlignedBuffer<float>(static_cast<size_t>(size));
  gradient = AlignedBuffer<float>(static_cast<size_t>(size));
  write(values);
}

std::vector<float> Core::A_of(const Adapter& adapter) {
  std::vector<float> all;
  for (const TensorLayout& tensor : adapter.layout())
    if (tensor.part == Part::lora_A)
      all.insert(all.end(), adapter.values.begin() + tensor.range().begin, adapter.values.begin() + tensor.range().end);
  return all;
}

void Core::write(std::span<const float> given) {
  check("the core", given, values.size());
  std::copy(given.begin(), given.end(), values.begin());
}

void Core::gather(std::span<const float> of_adapter) {
  for (const Layer& layer : layers_) {
    const auto row = [&](const float* matrix, int64_t i) { return std::span(matrix + i * layer.K, static_cast<size_t>(layer.K)); };
    const float *d_A = of_adapter.data() + layer.in_adapter, *A = A_.data() + layer.A;
    float* d_R = gradient.data() + layer.R;
    for (int64_t i = 0; i < layer.rank; ++i)
      for (int64_t j = 0; j < layer.rank; ++j) d_R[i * layer.rank + j] = static_cast<float>(dot(row(d_A, i), row(A, j)));
  }
}

void Core::apply(Adapter& adapter) const {
  std::vector<double> sum;
  for (const Layer& layer : layers_) {
    const float *R = values.data() + layer.R, *A = A_.data() + layer.A;
    float* out = adapter.values.data() + layer.in_adapter;
    for (int64_t i = 0; i < layer.rank; ++i) {
      sum.assign(static_cast<size_t>(layer.K), 0.0);
      for (int64_t j = 0; j < layer.rank; ++j) {
        const double factor = R[i * layer.rank + j];
        for (int64_t k = 0; k < layer.K; ++k) sum[static_cast<size_t>(k)] += factor * static_cast<double>(A[j * layer.K + k]);
      }
      std::copy(sum.begin(), sum.end(), out + i * layer.K);
    }
  }
  ++adapter.version;
}

}  // namespace fedlora
