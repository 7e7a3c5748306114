#include "io/transposed.h"

#include <algorithm>
#include <cstring>

namespace fedlora {

void transpose(const uint8_t* in, int64_t K, int64_t N, size_t width, uint8_t* out) {
  constexpr int64_t tile = 32;  // rows of both sides that a cache keeps
  for (int64_t k0 = 0; k0 < K; k0 += tile)
    for (int64_t n0 = 0; n0 < N; n0 += tile)
      for (int64_t n = n0; n < std::min(n0 + tile, N); ++n)
        for (int64_t k = k0; k < std::min(k0 + tile, K); ++k)
          std::memcpy(out + static_cast<size_t>(n * K + k) * width, in + static_cast<size_t>(k * N + n) * width, width);
}

TensorView TransposedTensors::describe(const std::string& name) const {
  TensorView view = source_->describe(name);
  if (transposed_.count(name) == 0 || view.shape.size() != 2) return view;
  std::swap(view.shape[0], view.shape[1]);
  view.data = nullptr;
  return view;
}

TensorView TransposedTensors::get(const std::string& name) const {
  TensorView view = source_->get(name);
  if (transposed_.count(name) == 0 || view.shape.size() != 2) return view;
  const int64_t K = view.shape[0], N = view.shape[1];
  view.data = made_.get(name, [&] {
    AlignedBuffer<uint8_t> copy(view.bytes);
    transpose(static_cast<const uint8_t*>(view.data), K, N, dtype_bytes(view.dtype), copy.data());
    source_->release(name);
    return copy;
  });
  view.shape = {N, K};
  return view;
}

void TransposedTensors::release(const std::string& name) const {
  made_.release(name);
  source_->release(name);
}

}  // namespace fedlora
