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

Core::Core(const AdapterMap& map, std::span<const float> A, std::span<const float> values, const std::shared_ptr<Memory>& memory) {
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
  this->values = Buffer<float>(memory, static_cast<size_t>(size));
  gradient = Buffer<float>(memory, static_cast<size_t>(size));
  write(values);
}

std::vector<float> Core::A_of(const Adapter& adapter) {
  const HostView<float> values(adapter.values);
  std::vector<float> all;
  for (const TensorLayout& tensor : adapter.layout())
    if (tensor.part == Part::lora_A) all.insert(all.end(), values.data() + tensor.range().begin, values.data() + tensor.range().end);
  return all;
}

void Core::write(std::span<const float> given) {
  check("the core", given, values.size());
  values.upload(given);
}

void Core::gather(const Buffer<float>& of_adapter) {
  const HostView<float> given(of_adapter);
  edit(gradient, [&](std::span<float> gradient) {
    for (const Layer& layer : layers_) {
      const auto row = [&](const float* matrix, int64_t i) { return std::span(matrix + i * layer.K, static_cast<size_t>(layer.K)); };
      const float *d_A = given.data() + layer.in_adapter, *A = A_.data() + layer.A;
      float* d_R = gradient.data() + layer.R;
      for (int64_t i = 0; i < layer.rank; ++i)
        for (int64_t j = 0; j < layer.rank; ++j) d_R[i * layer.rank + j] = static_cast<float>(dot(row(d_A, i), row(A, j)));
    }
  });
}

void Core::apply(Adapter& adapter) const {
  const HostView<float> own(values);
  std::vector<double> sum;
  for (const Layer& layer : layers_) {
    const float *R = own.data() + layer.R, *A = A_.data() + layer.A;
    const auto begin = static_cast<size_t>(layer.in_adapter);
    edit(adapter.values, begin, begin + static_cast<size_t>(layer.rank * layer.K), [&](std::span<float> out) {
      for (int64_t i = 0; i < layer.rank; ++i) {
        sum.assign(static_cast<size_t>(layer.K), 0.0);
        for (int64_t j = 0; j < layer.rank; ++j) {
          const double factor = R[i * layer.rank + j];
          for (int64_t k = 0; k < layer.K; ++k) sum[static_cast<size_t>(k)] += factor * static_cast<double>(A[j * layer.K + k]);
        }
        std::copy(sum.begin(), sum.end(), out.begin() + i * layer.K);
      }
    });
  }
  ++adapter.version;
}

}  // namespace fedlora
