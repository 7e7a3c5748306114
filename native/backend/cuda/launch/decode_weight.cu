#include "backend/cuda/launch/decode_weight.h"

#include <algorithm>
#include <bit>

#include "backend/cuda/device/decode_weight.cuh"

namespace fedlora::cuda {

const void* decode_weight(const Queue& queue, const DeviceMatrix& matrix, Element element, void* slab) {
  if (is_plain(matrix, element)) return matrix.data;
  const int64_t count = matrix.N * matrix.K, blocks = (count + decode_block - 1) / decode_block;
  const dim3 grid(static_cast<unsigned>(blocks));
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    T* const out = static_cast<T*>(slab);
    const auto plain = [&](auto from) {
      using From = decltype(from);
      FED_LAUNCH((decode_plain_kernel<From, T>), grid, dim3(decode_threads), 0, queue.stream, count, static_cast<const From*>(matrix.data),
                 out);
    };
    switch (matrix.format) {
      case Format::nf4:
      case Format::fp4: {
        CodeTable table;
        std::ranges::copy(codebook_of(matrix.format), table.value);
        FED_LAUNCH(decode_codes_kernel<T>, grid, dim3(decode_threads), sizeof table, queue.stream, count,
                   std::countr_zero(static_cast<unsigned>(matrix.block)), static_cast<const unsigned char*>(matrix.data), matrix.absmax,
                   table, out);
        break;
      }
      case Format::int8:
        FED_LAUNCH(decode_int8_kernel<T>, grid, dim3(decode_threads), 0, queue.stream, count, matrix.K,
                   static_cast<const signed char*>(matrix.data), matrix.absmax, out);
        break;
      case Format::f32:
        return plain(float{});
      case Format::f16:
        return plain(f16{});
      case Format::bf16:
        return plain(bf16{});
    }
  });
  return slab;
}

}  // namespace fedlora::cuda
