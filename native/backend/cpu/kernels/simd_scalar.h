/// The vector abstraction in plain C++: a "vector" of one float. Included inside namespace fedlora::scalar.
/// The three simd_<isa>.h define the same names; generic/*.inl is written over them:
///   Vec, W                       W floats
///   load, store                  from and to float* or bf16* (rounded to nearest even); …_tail touch only the first n < W elements, the rest is 0
///   broadcast, + − × ÷, fma      fma(a, b, c) = a·b + c (fused where the instruction set fuses)
///   maximum, minimum, square_root, round_nearest, negate, absolute
///   less, equal, select          less(a, b) is a Mask; select(mask, yes, no)
///   scale_by_power(x, n)         x·2ⁿ, n integral in [−252, 252]
///   reduce_add, reduce_max       always in the same order

struct Vec {
  float v;
};
using Mask = bool;
constexpr int W = 1;

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
