// One instance of every loop of kernels_body.h per instruction set, and the choice between them.
#include "compression/kernels.h"

#include "base/target.h"
#include "compression/kernels_body.h"
#include "compression/masks_avx512.h"
#include "compression/philox_avx512.h"

namespace fedlora {

// KERNEL(result, name, (parameters), (arguments)): expanded into one function per instruction set and one row of each table.
#define FEDLORA_CODEC_KERNELS(KERNEL)                                                                                        \
  KERNEL(uint32_t, add_residual, (const float* u, const float* r, float* t, int64_t n), (u, r, t, n))                        \
  KERNEL(void, block_largest, (const float* t, int64_t b, uint32_t* l), (t, b, l))                                           \
  KERNEL(void, quantize, (const float* t, const float* s, int64_t b, int l, uint64_t seed, uint64_t f, int8_t* c, float* r), \
         (t, s, b, l, seed, f, c, r))                                                                                        \
  KERNEL(void, dequantize, (const int8_t* c, const float* s, int64_t n, float* v), (c, s, n, v))                             \
  KERNEL(void, pack_int4, (const int8_t* c, int64_t n, uint8_t* p), (c, n, p))                                               \
  KERNEL(void, unpack_int4, (const uint8_t* p, int64_t n, int8_t* c), (p, n, c))                                             \
  KERNEL(void, encode_bf16, (const float* t, int64_t n, uint16_t* w, float* r), (t, n, w, r))                                \
  KERNEL(void, decode_bf16, (const uint8_t* w, int64_t n, float* v), (w, n, v))                                              \
  KERNEL(MagnitudeBits, range_f32, (const float* v, int64_t n), (v, n))                                                      \
  KERNEL(MagnitudeBits, range_bf16, (const uint8_t* w, int64_t n), (w, n))                                                   \
  KERNEL(void, magnitude_bins, (const float* t, int64_t n, uint16_t* b), (t, n, b))                                          \
  KERNEL(void, magnitude_digits, (const float* t, int64_t n, uint32_t p, int s, uint16_t* d), (t, n, p, s, d))               \
  KERNEL(void, select_mask, (const float* t, int64_t n, uint32_t threshold, uint64_t* m), (t, n, threshold, m))              \
  KERNEL(void, sum_magnitudes, (const float* t, int64_t b, double* s), (t, b, s))                                            \
  KERNEL(void, encode_signs, (const float* t, const float* s, int64_t b, uint8_t* w, float* r), (t, s, b, w, r))             \
  KERNEL(void, decode_signs, (const uint8_t* w, const float* s, int64_t b, float* v), (w, s, b, v))                          \
  KERNEL(double, dot, (const float* x, const float* y, int64_t n), (x, y, n))                                                \
  KERNEL(void, add_scaled, (double f, const float* v, int64_t n, double* s), (f, v, n, s))                                   \
  KERNEL(void, low_rank_row, (const float* p, const float* q, int64_t k, int64_t w, int64_t n, float* v), (p, q, k, w, n, v))

#define FEDLORA_CODEC_ROW(result, name, parameters, arguments) table.name = name;
#define FEDLORA_CODEC_SCALAR(result, name, parameters, arguments) \
  static result name parameters { return codec_body::name arguments; }
#define FEDLORA_CODEC_AVX2(result, name, parameters, arguments) \
  FEDLORA_TARGET(FEDLORA_AVX2) static result name parameters { return codec_body::name arguments; }
#define FEDLORA_CODEC_AVX512(result, name, parameters, arguments) \
  FEDLORA_TARGET(FEDLORA_AVX512) static result name parameters { return codec_body::name arguments; }

namespace codec_scalar {
FEDLORA_CODEC_KERNELS(FEDLORA_CODEC_SCALAR)
static CodecKernels make_table() {
  CodecKernels table{};
  table.isa = Isa::scalar;
  FEDLORA_CODEC_KERNELS(FEDLORA_CODEC_ROW)
  return table;
}
}  // namespace codec_scalar

#if defined(__x86_64__)
namespace codec_avx2 {
FEDLORA_CODEC_KERNELS(FEDLORA_CODEC_AVX2)
static CodecKernels make_table() {
  CodecKernels table{};
  table.isa = Isa::avx2;
  FEDLORA_CODEC_KERNELS(FEDLORA_CODEC_ROW)
  return table;
}
}  // namespace codec_avx2
namespace codec_avx512 {
FEDLORA_CODEC_KERNELS(FEDLORA_CODEC_AVX512)
FEDLORA_TARGET(FEDLORA_AVX512)
static void quantize_drawn(const float* t, const float* s, int64_t b, int l, uint64_t seed, uint64_t f, int8_t* c, float* r) {
  codec_body::quantize<philox64_avx512>(t, s, b, l, seed, f, c, r);
}
static CodecKernels make_table() {
  CodecKernels table{};
  table.isa = Isa::avx512bf16;
  FEDLORA_CODEC_KERNELS(FEDLORA_CODEC_ROW)
  table.quantize = quantize_drawn;
  table.select_mask = select_mask_avx512;
  table.encode_signs = encode_signs_avx512;
  table.decode_signs = decode_signs_avx512;
  return table;
}
}  // namespace codec_avx512
#endif

const CodecKernels& codec_kernels(Isa isa) {
  static const CodecKernels scalar = codec_scalar::make_table();
#if defined(__x86_64__)
  static const CodecKernels avx2 = codec_avx2::make_table(), avx512 = codec_avx512::make_table();
  if (isa == Isa::avx512bf16) return avx512;
  if (isa == Isa::avx2) return avx2;
#endif
  (void)isa;
  return scalar;
}

const CodecKernels& codec_kernels() {
  static const CodecKernels& chosen = codec_kernels(select_isa());
  return chosen;
}

}  // namespace fedlora
