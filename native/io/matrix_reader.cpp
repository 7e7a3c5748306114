#include "io/matrix_reader.h"

#include "base/error.h"
#include "io/bnb_checkpoint.h"
#include "quant/encode.h"
#include "quant/plain.h"

namespace fedlora {

namespace {

Format stored_plainly(DType dtype) {
  if (const std::optional<Format> format = plain_format(dtype)) return *format;
  if (is_blocked(dtype)) return Format::f32;
  fail(Code::E_DTYPE, "a weight of dtype %s is neither F32, F16 nor BF16, nor GGUF's blocks, nor one of bitsandbytes' layouts.",
       dtype_name(dtype));
}

Matrix decode_to(Format format, const Matrix& matrix, ThreadPool& pool) {
  AlignedBuffer<float> numbers(static_cast<size_t>(matrix.elements()));
  pool.run(matrix.N, [&](int64_t n, int) { decode(matrix, n * matrix.K, matrix.K, numbers.data() + n * matrix.K); });
  TensorView view;
  view.shape = {matrix.N, matrix.K};
  view.data = numbers.data();
  view.bytes = numbers.bytes();
  return encode_matrix(format, view, 0, false, pool);
}

Matrix read(const TensorSource& source, const std::string& name, std::optional<Format> wanted, int block, bool double_quantization,
            ThreadPool& pool) {
  if (!is_bnb_quantized(source, name)) {
    const TensorView view = source.get(name);
    return encode_matrix(wanted ? *wanted : stored_plainly(view.dtype), view, block, double_quantization, pool);
  }
  Matrix matrix = read_bnb_matrix(source, name);
  if (!wanted || *wanted == matrix.format) return matrix;
  if (*wanted == Format::int8 || is_4bit(*wanted))
    fail(Code::E_UNSUPPORTED, "stored as %s, but %s is wanted. Keep %s, or start from the original weights.", format_name(matrix.format),
         format_name(*wanted), format_name(matrix.format));
  return decode_to(*wanted, matrix, pool);
}

}  // namespace

Matrix read_matrix(const TensorSource& source, const std::string& name, std::optional<Format> wanted, int block, bool double_quantization,
                   ThreadPool& pool) {
  try {
    Matrix matrix = read(source, name, wanted, block, double_quantization, pool);
    for (const std::string& part : bnb_part_names(source, name)) source.release(part);
    return matrix;
  } catch (const Error& error) {
    throw Error(error.code(), "tensor \"" + name + "\": " + error.what());
  }
}

}  // namespace fedlora
