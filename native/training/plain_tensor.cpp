#include "training/plain_tensor.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"

namespace fedlora {

namespace {
template <class T>
T element(const TensorView& view, size_t index) {
  T value;
  std::memcpy(&value, static_cast<const uint8_t*>(view.data) + index * sizeof(T), sizeof(T));
  return value;
}
}  // namespace

std::vector<float> read_vector(const TensorSource& source, const std::string& name) {
  const TensorView view = source.get(name);
  std::vector<float> values(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    switch (view.dtype) {
      case DType::f32:
        values[i] = element<float>(view, i);
        break;
      case DType::f16:
        values[i] = to_f32(element<f16>(view, i));
        break;
      case DType::bf16:
        values[i] = to_f32(element<bf16>(view, i));
        break;
      case DType::f64:
        values[i] = static_cast<float>(element<double>(view, i));
        break;
      default:
        fail(Code::E_DTYPE, "tensor %s is %s, expected F32, F16 or BF16", name.c_str(), dtype_name(view.dtype));
    }
    if (!std::isfinite(values[i]))
      fail(Code::E_NONFINITE, "tensor %s: element %zu is not finite; the checkpoint is damaged", name.c_str(), i);
  }
  source.release(name);
  return values;
}

}  // namespace fedlora
