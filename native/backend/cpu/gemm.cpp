#include "backend/cpu/gemm.h"

#include <algorithm>

namespace fedlora {

namespace {
constexpr int64_t decoded_rows = 16;     // rows of a weight that are transposed together
constexpr int64_t decoded_k = 512;       // … and how far along each
constexpr int64_t decoded_padding = 32;  // pack kernels read past the end; also keeps rows apart in the cache
constexpr int64_t decoded_elements = 64 * (128 + decoded_padding) > decoded_rows*(decoded_k + decoded_padding)
                                         ? 64 * (128 + decoded_padding)
                                         : decoded_rows * (decoded_k + decoded_padding);
constexpr int64_t max_slices = max_gemm_slices;

constexpr int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

template <class T>
constexpr int64_t decoded_bytes = round_up(decoded_elements * static_cast<int64_t>(sizeof(T)), 64);

template <class T>
void decode(const TypedKernels<T>& kernels, const WeightView& w, int64_t row, int64_t rows, int64_t column, int64_t count, T* out,
            int64_t stride) {
  const auto kernel = is_4bit(w.format) ? kernels.decode_4bit : w.format == Format::int8 ? kernels.decode_int8 : kernels.decode_plain;
  kernel(w, row, rows, column, count, out, stride);
}
}  // namespace

template <class T>
size_t Gemm<T>::workspace_bytes(GemmShape shape, int64_t M, int64_t common_steps, int64_t own_steps, bool keep_sum) const {
  const int64_t panel = (std::min(shape.panel_steps, common_steps) + own_steps) * shape.panel_columns;
  const int64_t sum = keep_sum || common_steps > shape.panel_steps ? M * shape.panel_columns : 0;
  const int64_t widened = sizeof(T) == 2 && !table_.pairs ? widened_floats(panel / shape.panel_columns, max_slices) : 0;
  return static_cast<size_t>(4 * (panel + sum + widened) + decoded_bytes<T>);
}

template <class T>
void Gemm<T>::pack(const GemmTerm<T>& term, int64_t k_begin, int64_t k, int64_t begin, int64_t end, T* decoded, uint32_t* panel) const {
  const int64_t group = table_.group_columns, lanes = table_.lanes, panel_steps = steps(k), per_step = this->per_step();
  const auto group_width = [&](int64_t column) { return std::min(group, round_up(end - column, lanes)); };

  if (term.reads == GemmTerm<T>::rows) {
    constexpr int64_t stride = decoded_k + decoded_padding;
    for (int64_t column = begin; column < end; column += group) {
      const int64_t width = group_width(column);
      for (int64_t row = column; row < std::min(column + group, end); row += decoded_rows) {
        const int64_t rows = std::min({decoded_rows, column + group - row, end - row});
        for (int64_t at = 0; at < k; at += decoded_k) {
          const int64_t count = std::min(decoded_k, k - at);
          decode(kernels_, term.weight, row, rows, k_begin + at, count, decoded, stride);
          if (per_step == 2 && count % 2 != 0)
            for (int64_t r = 0; r < rows; ++r) decoded[r * stride + count] = T{};
          kernels_.pack_rows(decoded, stride, rows, count, panel + (column - begin) * panel_steps + at / per_step * width + (row - column),
                             width);
        }
      }
    }
  } else {
    constexpr int64_t stride = 128 + decoded_padding, chunk = 64;
    for (int64_t at = 0; at < k; at += chunk) {
      const int64_t rows = std::min(chunk, k - at);
      decode(kernels_, term.weight, k_begin + at, rows, begin, end - begin, decoded, stride);
      for (int64_t column = begin; column < end; column += group) {
        const int64_t width = group_width(column);
        kernels_.pack_columns(decoded + (column - begin), stride, std::min(group, end - column), rows,
                              panel + (column - begin) * panel_steps + at / per_step * width, width);
      }
    }
  }
}

template <class T>
float* Gemm<T>::multiply(GemmShape shape, int64_t M, const GemmProduct<T>& product, void* workspace) const {
  const int64_t begin = product.column_begin, end = product.column_end, columns = end - begin;
  const int64_t padded = round_up(columns, table_.lanes), per_step = this->per_step();
  T* decoded = static_cast<T*>(workspace);
  float* sum = reinterpret_cast<float*>(static_cast<uint8_t*>(workspace) + decoded_bytes<T>);
  bool keep = false;
  for (const GemmRows<T>& range : product.rows) keep = keep || range.keep_sum;
  const bool needs_sum = keep || steps_of(product.terms) > shape.panel_steps;
  uint32_t* panel = reinterpret_cast<uint32_t*>(sum) + (needs_sum ? M * shape.panel_columns : 0);

  GemmSlice slices[max_slices];
  const auto slice_of = [&](const GemmTerm<T>& term, int64_t k_begin, int64_t k, uint32_t* to) {
    return GemmSlice{term.a + k_begin, term.a_stride, to, k};
  };

  size_t term = 0;
  int64_t done = 0;  // of the current term
  for (bool first = true;; first = false) {
    // The next panel: as much of the common terms as fits.
    int64_t count = 0, used = 0;
    uint32_t* to = panel;
    while (term < product.terms.size() && used < shape.panel_steps && count < max_slices / 2) {
      const GemmTerm<T>& now = product.terms[term];
      const int64_t k = std::min(now.k() - done, (shape.panel_steps - used) * per_step);
      pack(now, done, k, begin, end, decoded, to);
      slices[count++] = slice_of(now, done, k, to);
      to += steps(k) * padded;
      used += steps(k);
      done += k;
      if (done == now.k()) ++term, done = 0;
    }
    const bool last = term == product.terms.size();

    for (const GemmRows<T>& range : product.rows) {
      int64_t all = count;
      uint32_t* own = to;
      if (last)
        for (const GemmTerm<T>& further : range.terms) {
          pack(further, 0, further.k(), begin, end, decoded, own);
          slices[all++] = slice_of(further, 0, further.k(), own);
          own += steps(further.k()) * padded;
        }
      GemmSlice placed[max_slices];
      for (int64_t i = 0; i < all; ++i) {
        placed[i] = slices[i];
        placed[i].a = static_cast<const T*>(slices[i].a) + range.begin * slices[i].a_stride;
      }
      GemmCall call;
      call.rows = range.end - range.begin;
      call.columns = columns;
      call.slices = placed;
      call.slice_count = all;
      call.carry_stride = shape.panel_columns;
      call.widened = reinterpret_cast<float*>(own);
      if (!first) call.carry_in = sum + range.begin * shape.panel_columns;
      if (!last || range.keep_sum) call.carry_out = sum + range.begin * shape.panel_columns;
      call.scale = product.scale * range.scale;
      call.bias = product.bias ? product.bias + begin : nullptr;
      call.out_bf16 = product.out_bf16;
      call.out_stride = product.out_stride;
      call.out = static_cast<uint8_t*>(product.out) + range.begin * product.out_stride * (product.out_bf16 ? 2 : 4);
      kernels_.gemm(call);
    }
    if (last) return sum;
  }
}

template class Gemm<float>;
template class Gemm<bf16>;

ColumnSplit::ColumnSplit(int64_t N, int64_t widest, int64_t threads) : N_(N), units_((N + unit - 1) / unit) {
  const int64_t units = widest / unit;
  count_ = std::min(units_, round_up((units_ + units - 1) / units, threads));
}

}  // namespace fedlora
