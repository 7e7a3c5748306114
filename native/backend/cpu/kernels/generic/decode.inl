/// Packed weights to f32 or bf16 (quant/matrix.h), any range of a row: blocks run over the flattened weight and may cross rows.

inline void put(float* p, float x) { *p = x; }
inline void put(bf16* p, float x) { *p = to_bf16(x); }

inline float block_absmax(const WeightView& w, int64_t block) {
  if (w.nested_absmax == nullptr) return w.absmax[block];
  return w.dynamic_map[w.nested_absmax[block]] * w.nested_scale[static_cast<uint64_t>(block) / nested_block] + w.nested_offset;
}

/// Reading a block of columns jumps from row to row, which no hardware prefetcher follows.
inline void prefetch_bytes(const uint8_t* p, int64_t bytes) {
  const uint8_t* line = p - reinterpret_cast<uintptr_t>(p) % 64;
  for (; line < p + bytes; line += 64) prefetch(line);
}
/// The fewer elements of a row are wanted, the sooner the next rows are: memory answers after the time of about so many elements.
constexpr int64_t elements_ahead = 8192;
inline int64_t rows_ahead(int64_t count) { return elements_ahead / (count < 1 ? 1 : count > 512 ? 512 : count); }

template <class T>
static void decode_4bit(const WeightView& view, int64_t row, int64_t rows, int64_t column, int64_t count, T* out, int64_t out_stride) {
  constexpr int step = nibbles(static_cast<T*>(nullptr));
  const WeightView w = view;  // a copy that no store can alias
  const int64_t ahead = rows_ahead(count);
  for (int64_t r = 0; r < rows; ++r) {
    T* o = out + r * out_stride;
    int64_t i = (row + r) * w.K + column;
    const int64_t end = i + count;
    if (row + r + ahead < w.N) prefetch_bytes(w.data + ((i + ahead * w.K) >> 1), count / 2);
    if (count > 0 && (i & 1)) {
      put(o++, w.codebook[w.data[i >> 1] & 15] * block_absmax(w, i >> w.block_shift));
      ++i;
    }
    const uint8_t* codes = w.data + (i >> 1);
    while (i < end) {
      const int64_t block = i >> w.block_shift, block_end = (block + 1) << w.block_shift, run = (block_end < end ? block_end : end) - i;
      const auto table = make_table(w.codebook, block_absmax(w, block), out);
      i += run;
      int64_t rest = run;
      for (; rest >= step; rest -= step, o += step, codes += step / 2) decode_nibbles(o, table, codes);
      if (rest > 0) {
        uint8_t bytes[step / 2] = {};
        T values[step];
        for (int64_t j = 0; 2 * j < rest; ++j) bytes[j] = codes[j];
        decode_nibbles(values, table, bytes);
        for (int64_t j = 0; j < rest; ++j) o[j] = values[j];
        o += rest, codes += rest / 2;
      }
    }
  }
}

template <class T>
static void decode_int8(const WeightView& w, int64_t row, int64_t rows, int64_t column, int64_t count, T* out, int64_t out_stride) {
  const int64_t ahead = rows_ahead(count);
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* q = reinterpret_cast<const int8_t*>(w.data) + (row + r) * w.K + column;
    T* o = out + r * out_stride;
    if (row + r + ahead < w.N) prefetch_bytes(reinterpret_cast<const uint8_t*>(q + ahead * w.K), count);
    const float absmax = w.absmax[row + r];
    const Vec scale = broadcast(absmax), divisor = broadcast(127.0f);
    int64_t i = 0;
    for (; i + W <= count; i += W) store(o + i, load(q + i) * scale / divisor);
    for (; i < count; ++i) put(o + i, static_cast<float>(q[i]) * absmax / 127.0f);
  }
}

template <class Source, class T>
static void decode_numbers(const WeightView& w, int64_t row, int64_t rows, int64_t column, int64_t count, T* out, int64_t out_stride) {
  const Vec scale = broadcast(w.scale);
  const int64_t ahead = rows_ahead(count);
  for (int64_t r = 0; r < rows; ++r) {
    const Source* x = reinterpret_cast<const Source*>(w.data) + (row + r) * w.K + column;
    T* o = out + r * out_stride;
    if (row + r + ahead < w.N)
      prefetch_bytes(reinterpret_cast<const uint8_t*>(x + ahead * w.K), count * static_cast<int64_t>(sizeof(Source)));
    if constexpr (sizeof(Source) == 2 && std::is_same_v<Source, T>) {
      __builtin_memcpy(o, x, static_cast<size_t>(count) * sizeof(T));
      continue;
    }
    int64_t i = 0;
    for (; i + W <= count; i += W) store(o + i, load(x + i) * scale);
    for (; i < count; ++i) put(o + i, to_f32(x[i]) * w.scale);
  }
}
template <class T>
static void decode_plain(const WeightView& w, int64_t row, int64_t rows, int64_t column, int64_t count, T* out, int64_t out_stride) {
  if (w.format == Format::f32) return decode_numbers<float>(w, row, rows, column, count, out, out_stride);
  if (w.format == Format::f16) return decode_numbers<f16>(w, row, rows, column, count, out, out_stride);
  decode_numbers<bf16>(w, row, rows, column, count, out, out_stride);
}

#define DECODE(kernel, type)                                                                                                     \
  static void kernel##_##type(const WeightView& w, int64_t row, int64_t rows, int64_t column, int64_t count, DECODE_##type* out, \
                              int64_t stride) {                                                                                  \
    kernel(w, row, rows, column, count, out, stride);                                                                            \
  }
#define DECODE_f32 float
#define DECODE_bf16 bf16
DECODE(decode_4bit, f32)
DECODE(decode_4bit, bf16)
DECODE(decode_int8, f32)
DECODE(decode_int8, bf16)
DECODE(decode_plain, f32)
DECODE(decode_plain, bf16)
#undef DECODE_bf16
#undef DECODE_f32
#undef DECODE
