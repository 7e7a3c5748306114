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

int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

template <class T>
void decode(const KernelTable& kernels, const WeightView& w, int64_t row, int64_t rows, int64_t column, int64_t count, T* out,
            int64_t stride) {
  constexpr bool f32 = sizeof(T) == 4;
  if constexpr (f32) {
    if (is_4bit(w.format))
      kernels.decode_4bit_f32(w, row, rows, column, count, out, stride);
    else if (w.format == Format::int8)
      kernels.decode_int8_f32(w, row, rows, column, count, out, stride);
    else
      kernels.decode_plain_f32(w, row, rows, column, count, out, stride);
  } else {
    if (is_4bit(w.format))
      kernels.decode_4bit_bf16(w, row, rows, column, count, out, stride);
    else if (w.format == Format::int8)
      kernels.decode_int8_bf16(w, row, rows, column, count, out, stride);
    else
      kernels.decode_plain_bf16(w, row, rows, column, count, out, stride);
  }
}
}  // namespace

size_t Gemm::workspace_bytes(GemmShape shape, int64_t M, int64_t common_steps, int64_t own_steps, bool keep_sum) const {
  const int64_t panel = (std::min(shape.panel_steps, common_steps) + own_steps) * shape.panel_columns;
  const int64_t sum = keep_sum || common_steps > shape.panel_steps ? M * shape.panel_columns : 0;
  const int64_t widened = compute_ == Compute::bf16 && !kernels_.pairs ? widened_floats(panel / shape.panel_columns, max_slices) : 0;
  return static_cast<size_t>(4 * (panel + sum + widened) + round_up(decoded_elements * element_bytes(), 64));
}

template <class T>
void Gemm::pack_as(const GemmTerm& term, int64_t k_begin, int64_t k, int64_t begin, int64_t end, T* decoded, uint32_t* panel) const {
  const int64_t group = kernels_.group_columns, lanes = kernels_.lanes, panel_steps = steps(k), per_step = this->per_step();
  const auto pack_rows = [&](auto... arguments) {
    if constexpr (sizeof(T) == 4)
      kernels_.pack_rows_f32(arguments...);
    else
      kernels_.pack_rows_bf16(arguments...);
  };
  const auto pack_columns = [&](auto... arguments) {
    if constexpr (sizeof(T) == 4)
      kernels_.pack_columns_f32(arguments...);
    else
      kernels_.pack_columns_bf16(arguments...);
  };
  const auto group_width = [&](int64_t column) { return std::min(group, round_up(end - column, lanes)); };

  if (term.reads == GemmTerm::rows) {
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
          pack_rows(decoded, stride, rows, count, panel + (column - begin) * panel_steps + at / per_step * width + (row - column), width);
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
        pack_columns(decoded + (column - begin), stride, std::min(group, end - column), rows,
                     panel + (column - begin) * panel_steps + at / per_step * width, width);
      }
    }
  }
}

void Gemm::pack(const GemmTerm& term, int64_t k_begin, int64_t k, int64_t begin, int64_t end, void* decoded, uint32_t* panel) const {
  if (compute_ == Compute::bf16)
    pack_as(term, k_begin, k, begin, end, static_cast<bf16*>(decoded), panel);
  else
    pack_as(term, k_begin, k, begin, end, static_cast<float*>(decoded), panel);
}

float* Gemm::multiply(GemmShape shape, int64_t M, const GemmProduct& product, void* workspace) const {
  const int64_t begin = product.column_begin, end = product.column_end, columns = end - begin;
  const int64_t padded = round_up(columns, kernels_.lanes), per_step = this->per_step();
  uint8_t* decoded = static_cast<uint8_t*>(workspace);
  float* sum = reinterpret_cast<float*>(decoded + round_up(decoded_elements * element_bytes(), 64));
  bool keep = false;
  for (const GemmRows& range : product.rows) keep = keep || range.keep_sum;
  const bool needs_sum = keep || steps_of(product.terms) > shape.panel_steps;
  uint32_t* panel = reinterpret_cast<uint32_t*>(sum) + (needs_sum ? M * shape.panel_columns : 0);

  GemmSlice slices[max_slices];
  const auto slice_of = [&](const GemmTerm& term, int64_t k_begin, int64_t k, uint32_t* to) {
    return GemmSlice{static_cast<const uint8_t*>(term.a) + k_begin * element_bytes(), term.a_stride, to, k};
  };

  size_t term = 0;
  int64_t done = 0;  // of the current term
  for (bool first = true;; first = false) {
    // The next panel: as much of the common terms as fits.
    int64_t count = 0, used = 0;
    uint32_t* to = panel;
    while (term < product.terms.size() && used < shape.panel_steps && count < max_slices / 2) {
      const GemmTerm& now = product.terms[term];
      const int64_t k = std::min(now.k() - done, (shape.panel_steps - used) * per_step);
      pack(now, done, k, begin, end, decoded, to);
      slices[count++] = slice_of(now, done, k, to);
      to += steps(k) * padded;
      used += steps(k);
      done += k;
      if (done == now.k()) ++term, done = 0;
    }
    const bool last = term == product.terms.size();

    for (const GemmRows& range : product.rows) {
      int64_t all = count;
      uint32_t* own = to;
      if (last)
        for (const GemmTerm& further : range.terms) {
          pack(further, 0, further.k(), begin, end, decoded, own);
          slices[all++] = slice_of(further, 0, further.k(), own);
          own += steps(further.k()) * padded;
        }
      GemmSlice placed[max_slices];
      for (int64_t i = 0; i < all; ++i) {
        placed[i] = slices[i];
        placed[i].a = static_cast<const uint8_t*>(slices[i].a) + range.begin * slices[i].a_stride * element_bytes();
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
      if (compute_ == Compute::bf16)
        kernels_.gemm_bf16(call);
      else
        kernels_.gemm_f32(call);
    }
    if (last) return sum;
  }
}

ColumnSplit::ColumnSplit(int64_t N, int64_t widest, int64_t threads) : N_(N), units_((N + unit - 1) / unit) {
  const int64_t units = widest / unit;
  count_ = std::min(units_, round_up((units_ + units - 1) / units, threads));
}

}  // namespace fedlora
