#include "quant/encode.h"

#include "base/error.h"
#include "quant/four_bit.h"
#include "quant/int8.h"
#include "quant/nested.h"
#include "quant/plain.h"

namespace fedlora {

Matrix encode_matrix(Format format, const TensorView& weight, int block, bool double_quantization, ThreadPool& pool) {
  if (format == Format::int8) return encode_int8(weight, pool);
  if (!is_4bit(format)) return encode_plain(format, weight, pool);
  Matrix matrix = encode_4bit(format, weight, block, pool);
  if (double_quantization) nest_absmax(matrix);
  return matrix;
}

void decode(const Matrix& matrix, int64_t first, int64_t count, float* out) {
  if (first < 0 || count < 0 || first > matrix.elements() - count)
    fail(Code::E_ARGUMENT, "elements [%lld, +%lld) were asked of a matrix of %lld.", static_cast<long long>(first),
         static_cast<long long>(count), static_cast<long long>(matrix.elements()));
  if (is_4bit(matrix.format)) return decode_4bit(matrix, first, count, out);
  if (matrix.format == Format::int8) return decode_int8(matrix, first, count, out);
  decode_plain(matrix, first, count, out);
}

}  // namespace fedlora
