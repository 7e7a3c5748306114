#include "io/plain_tensor.h"

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

double number(const TensorView& view, size_t index, const std::string& name) {
  switch (view.dtype) {
    case DType::f32:
      return static_cast<double>(element<float>(view, index));
    case DType::f16:
      return static_cast<double>(to_f32(element<f16>(view, index)));
    case DType::bf16:
      return static_cast<double>(to_f32(element<bf16>(view, index)));
    case DType::f64:
      return element<double>(view, index);
    default:
      fail(Code::E_DTYPE, "tensor %s is %s, expected F32, F16 or BF16", name.c_str(), dtype_name(view.dtype));
  }
}
}  // namespace

std::vector<float> read_vector(const TensorSource& source, const std::string& name) {
  const TensorView view = source.get(name);
  std::vector<float> values(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(number(view, i, name));
    if (!std::isfinite(values[i]))
      fail(Code::E_NONFINITE, "tensor %s: element %zu is not finite; the checkpoint is damaged", name.c_str(), i);
  }
  source.release(name);
  return values;
}

bool same_values(const TensorSource& source, const std::string& a, const std::string& b) {
  const TensorView x = source.get(a), y = source.get(b);
  if (x.shape != y.shape) return false;
  const size_t count = static_cast<size_t>(x.elements());
  bool same = count == 0 || (x.dtype == y.dtype && std::memcmp(x.data, y.data, x.bytes) == 0);
  for (size_t i = 0; !same && number(x, i, a) == number(y, i, b);) same = ++i == count;
  source.release(a);
  source.release(b);
  return same;
}

}  // namespace fedlora
