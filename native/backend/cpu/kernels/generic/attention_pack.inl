/// Operands of attention in units (attention_tile.inl), from rows of D elements, `stride` apart. Padding is zero.
///   rows     [count, Ku]           A of a product over D           Ku = ⌈D / per_unit⌉
///   columns  [Ku, block]           B of a product over D: transposed, a block of rows
///   pairs    [block / per_unit, Dp]  B of a product over rows       Dp = D rounded up to 16
/// `attention_block` rows make one block; blocks follow one another.

inline int64_t padded_dim(int64_t D) { return (D + 15) / 16 * 16; }
template <class Element>
inline int64_t units_of(int64_t elements) {
  return (elements + per_unit<Element> - 1) / per_unit<Element>;
}

inline float to_element(float x, const float*) { return x; }
inline float to_element(bf16 x, const float*) { return to_f32(x); }
inline bf16 to_element(bf16 x, const bf16*) { return x; }

inline void make_unit(float* unit, float first, float) { *unit = first; }
inline void make_unit(uint32_t* unit, bf16 first, bf16 second) { *unit = first.bits | static_cast<uint32_t>(second.bits) << 16; }

template <class Element, class T>
static void pack_rows(const T* x, int64_t stride, int64_t count, int64_t D, Element* out) {
  const int64_t width = units_of<Element>(D) * per_unit<Element>;
  for (int64_t row = 0; row < count; ++row, x += stride, out += width) {
    for (int64_t d = 0; d < D; ++d) out[d] = to_element(x[d], out);
    for (int64_t d = D; d < width; ++d) out[d] = Element{};
  }
}

/// W units of a row. The first reads bits, so that pairs of bf16 and single f32 are the same.
inline Vec load_units(const float* x, const float*) { return load(x); }
inline Vec load_units(const bf16* x, const float*) { return load(x); }
inline Vec load_units(const bf16* x, const bf16*) { return load_dwords(x); }

/// One block, transposed; columns from `count` on are zero.
template <class Element, class T>
static void pack_columns(const T* x, int64_t stride, int64_t count, int64_t D, typename UnitOf<Element>::type* out) {
  const int64_t units = units_of<Element>(D), per = per_unit<Element>;
  const Element zero{};
  for (int64_t unit = 0; unit < units; unit += W)
    for (int64_t row = 0; row < attention_block; row += W) {
      const bool whole = row + W <= count && (unit + W) * per <= D;
      if (W > 1 && whole) {
        Vec square[W];
        for (int i = 0; i < W; ++i) square[i] = load_units(x + (row + i) * stride + unit * per, &zero);
        transpose(square);
        for (int i = 0; i < W; ++i) store_dwords(reinterpret_cast<uint32_t*>(out) + (unit + i) * attention_block + row, square[i]);
        continue;
      }
      for (int64_t u = unit; u < unit + W && u < units; ++u)
        for (int64_t r = row; r < row + W; ++r) {
          const T* at = x + r * stride + u * per;
          const Element first = r < count ? to_element(at[0], &zero) : zero;
          const Element second = r < count && per == 2 && u * 2 + 1 < D ? to_element(at[1], &zero) : zero;
          make_unit(out + u * attention_block + r, first, second);
        }
    }
}

/// One block; rows from `count` on are zero.
template <class Element, class T>
static void pack_pairs(const T* x, int64_t stride, int64_t count, int64_t D, typename UnitOf<Element>::type* out) {
  const int64_t Dp = padded_dim(D), per = per_unit<Element>;
  Element zero{};
  for (int64_t unit = 0; unit < attention_block / per; ++unit, out += Dp) {
    const int64_t row = unit * per;
    const T* first = x + row * stride;
    const T* second = first + stride;
    if (row + per <= count) {
      for (int64_t d = 0; d < D; ++d) make_unit(out + d, to_element(first[d], &zero), per == 2 ? to_element(second[d], &zero) : zero);
    } else if (row < count) {
      for (int64_t d = 0; d < D; ++d) make_unit(out + d, to_element(first[d], &zero), zero);
    }
    for (int64_t d = row < count ? D : 0; d < Dp; ++d) make_unit(out + d, zero, zero);
  }
}
