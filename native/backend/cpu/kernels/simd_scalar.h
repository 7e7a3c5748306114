/// The vector abstraction in plain C++: a "vector" of one float. Included inside namespace fedlora::scalar.
/// Every simd_<isa>.h defines the names of this table, and generic/*.inl is written over them:
///
// clang-format off
///   Vec, W                          W floats
///   Mask                            a truth value a lane
///   broadcast(x)                    x in every lane
///   load(p)                         W numbers of float, bf16, f16 or int8, as floats
///   store(p, x)                     to float or bf16, rounded to nearest even; Words to uint32_t
///   load_tail, store_tail           the first n < W lanes alone; what is not loaded is 0, what is not stored is not touched
///   + - * /                         lane by lane
///   fma(a, b, c)                    a·b + c, fused where the instruction set fuses
///   maximum, minimum                of a and b; b where one is NaN
///   square_root, round_nearest, negate, absolute
///   less, equal                     Mask of a < b, of a = b; false for NaN
///   select(mask, yes, no)           lane by lane
///   scale_by_power(x, n)            x·2ⁿ, n integral in [−252, 252]
///   reduce_add, reduce_max          over the lanes, always in the same order
///   prefetch(p)                     brings the line of p into the first cache
///
///   load_dwords, store_dwords       W dwords, bit by bit
///   transpose(rows)                 W×W dwords, in place
///   Words                           W uint32_t
///   same(x), count_from(x)          x in every lane; x + lane
///   multiply_wide(x, m, low, high)  x·m, its low and high halves
///   exclusive_or(a, b, c)           of three Words
///
///   make_table(codebook, absmax, T*)  the 16 values of a block of 4-bit weights, times its scale, as T
///   nibbles(T*)                     how many codes decode_nibbles decodes at once
///   decode_nibbles(out, table, p)   … into out, a byte's high nibble first
///   Codes                           8·W codes as they lie in memory: lane l has codes 8l … 8l + 7, its j-th nibble is code 8l + (j ^ 1)
///   load_codes, load_half_codes     all lanes; those of the first 64 codes
///   CodeTable                       16 values without scale
///   make_code_table(codebook)
///   look_up<j>(table, codes)        the value of every lane's j-th nibble
///   halves(low, high)               low in the lower half of the lanes, high in the upper; low where 8·W codes lie in one block
///
///   max_vecs, tile_rows[vecs]       the register tile of a matrix product: as many sums as registers hold beside the operands
///   outer_ranks, outer_vecs         that of an outer product
///   F32Operand, Bf16Operand         how a matrix product reads its operands (linear_types.h): `left` broadcasts one step, `right` loads W
///                                   columns of a panel's step, `right_rows` builds them from the rows that one step covers, `multiply_add` takes both
///   DotElement                      what bf16 operands of a small product are multiplied in: bf16 where pairs of them can be, else float
///
/// Only where pairs can be (DotElement is bf16):
///   dot_pairs(acc, a, b)            acc + a₀b₀ + a₁b₁: one pair `a` against each lane's pair of b
///   store_interleaved(p, a, b)      lane pairs (a, b), rounded to bf16
///
/// Of one header, to write the others with:
///   power_of_two
///   lanes_below, widen, narrow
///   interleave, load_words, load_words_tail, Table, WordTable, add_dots
///   planes_of, look_up_quarter, spread_nibbles
// clang-format on

struct Vec {
  float v;
};
using Mask = bool;
constexpr int W = 1;
using DotElement = float;

inline Vec broadcast(float x) { return {x}; }
inline Vec load(const float* p) { return {*p}; }
inline Vec load(const bf16* p) { return {to_f32(*p)}; }
inline Vec load_tail(const float*, int64_t) { return {0}; }
inline Vec load_tail(const bf16*, int64_t) { return {0}; }
inline void store(float* p, Vec x) { *p = x.v; }
inline void store(bf16* p, Vec x) { *p = to_bf16(x.v); }
inline void store_tail(float*, Vec, int64_t) {}
inline void store_tail(bf16*, Vec, int64_t) {}

inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec maximum(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec minimum(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec square_root(Vec a) { return {__builtin_sqrtf(a.v)}; }
inline Vec round_nearest(Vec a) { return {__builtin_rintf(a.v)}; }
inline Vec negate(Vec a) { return {-a.v}; }
inline Vec absolute(Vec a) { return {__builtin_fabsf(a.v)}; }
inline Mask less(Vec a, Vec b) { return a.v < b.v; }
inline Mask equal(Vec a, Vec b) { return a.v == b.v; }
inline Vec select(Mask mask, Vec yes, Vec no) { return mask ? yes : no; }
inline float power_of_two(int32_t n) { return __builtin_bit_cast(float, (n + 127) << 23); }
inline Vec scale_by_power(Vec x, Vec n) {
  const int32_t whole = static_cast<int32_t>(n.v), half = whole / 2;
  return {x.v * power_of_two(half) * power_of_two(whole - half)};
}
inline float reduce_add(Vec a) { return a.v; }
inline float reduce_max(Vec a) { return a.v; }

inline Vec load(const f16* p) { return {to_f32(*p)}; }
inline Vec load(const int8_t* p) { return {static_cast<float>(*p)}; }
inline void prefetch(const void*) {}

/// The 16 values of one block as T; decode_nibbles writes `nibbles` of them, the high nibble of a byte first.
struct Table {
  const float* codebook;
  float absmax;
};
inline Table make_table(const float* codebook, float absmax, const void*) { return {codebook, absmax}; }
constexpr int nibbles(const void*) { return 2; }
inline void decode_nibbles(float* out, const Table& table, const uint8_t* p) {
  out[0] = table.codebook[*p >> 4] * table.absmax, out[1] = table.codebook[*p & 15] * table.absmax;
}
inline void decode_nibbles(bf16* out, const Table& table, const uint8_t* p) {
  out[0] = to_bf16(table.codebook[*p >> 4] * table.absmax), out[1] = to_bf16(table.codebook[*p & 15] * table.absmax);
}

struct Codes {
  uint32_t v;
};
inline Codes load_codes(const uint8_t* p) {
  Codes codes;
  __builtin_memcpy(&codes.v, p, 4);
  return codes;
}
inline Codes load_half_codes(const uint8_t* p) { return load_codes(p); }
struct CodeTable {
  const float* values;
};
inline CodeTable make_code_table(const float* codebook) { return {codebook}; }
template <int j>
inline Vec look_up(const CodeTable& table, Codes codes) {
  return broadcast(table.values[codes.v >> 4 * j & 15]);
}
inline Vec halves(float low, float) { return broadcast(low); }

inline Vec load_dwords(const void* p) {
  Vec x;
  __builtin_memcpy(&x, p, 4);
  return x;
}
inline void store_dwords(uint32_t* p, Vec x) { __builtin_memcpy(p, &x, 4); }
inline void transpose(Vec*) {}
struct Words {
  uint32_t v;
};
inline Words same(uint32_t x) { return {x}; }
inline Words count_from(uint32_t first) { return {first}; }
inline void multiply_wide(Words x, uint32_t m, Words& low, Words& high) {
  const uint64_t product = static_cast<uint64_t>(m) * x.v;
  low = {static_cast<uint32_t>(product)}, high = {static_cast<uint32_t>(product >> 32)};
}
inline Words exclusive_or(Words a, Words b, Words c) { return {a.v ^ b.v ^ c.v}; }
inline void store(uint32_t* p, Words x) { *p = x.v; }

constexpr int max_vecs = 4;
constexpr int tile_rows[max_vecs + 1] = {0, 8, 4, 4, 4};
constexpr int outer_ranks = 4, outer_vecs = 2;

#include "backend/cpu/kernels/simd_operand_common.h"

struct Bf16Operand : F32Operand {
  using Element = bf16;
  static Value right_rows(const bf16* row, const bf16*) { return {to_f32(*row)}; }
  static Value right_rows_tail(const bf16*, const bf16*, int64_t) { return {0}; }
};
