#include "quant/packed.h"

#include "base/error.h"
#include "quant/plain.h"

namespace fedlora {

PackedSizes packed_sizes(Format format, int64_t N, int64_t K, int block, bool nested) {
  if (N < 1 || K < 1 || N > (int64_t{1} << 58) / K)
    fail(Code::E_SHAPE, "a weight of [%lld, %lld] is empty or out of reach", static_cast<long long>(N), static_cast<long long>(K));
  const size_t rows = static_cast<size_t>(N), elements = rows * static_cast<size_t>(K);
  if (format == Format::int8) return {.data = elements, .absmax = rows};
  if (!is_4bit(format)) return {.data = elements * dtype_bytes(dtype_of(format))};
  const size_t codes = (elements + 1) / 2, group = static_cast<size_t>(block), blocks = (elements + group - 1) / group;
  if (!nested) return {.data = codes, .absmax = blocks};
  return {.data = codes, .nested_absmax = blocks, .nested_scale = (blocks + nested_block - 1) / nested_block};
}

Matrix make_matrix(Format format, int64_t N, int64_t K, int block, bool nested) {
  const PackedSizes sizes = packed_sizes(format, N, K, block, nested);
  Matrix matrix;
  matrix.format = format;
  matrix.N = N;
  matrix.K = K;
  matrix.block = is_4bit(format) ? block : 0;
  matrix.data = AlignedBuffer<uint8_t>(sizes.data);
  matrix.absmax = AlignedBuffer<float>(sizes.absmax);
  matrix.nested_absmax = AlignedBuffer<uint8_t>(sizes.nested_absmax);
  matrix.nested_scale = AlignedBuffer<float>(sizes.nested_scale);
  return matrix;
}

}  // namespace fedlora
