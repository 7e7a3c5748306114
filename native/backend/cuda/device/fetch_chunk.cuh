/// Eight neighbours of a row of bf16 on their way to shared memory, wherever the matrix ends and however it is aligned.
#pragma once
#include "backend/cuda/device/prelude.h"
#include "backend/cuda/ptx/copy_async.h"

namespace fedlora::cuda {

/// Eight elements of row `row` from column `column` on, to 16 bytes of shared memory; what lies outside [rows, columns) arrives as zeros.
/// Pieces of 16 bytes when `aligned`, else element by element, by this thread at once.
DEV void fetch_chunk(void* to, const bf16* matrix, int64_t stride, bool aligned, int64_t row, int64_t rows, int64_t column,
                     int64_t columns) {
  const int64_t left = row < rows ? columns - column : 0;
  const int inside = static_cast<int>(left < 0 ? 0 : left > 8 ? 8 : left);
  const bf16* const from = matrix + (inside > 0 ? row * stride + column : 0);
  if (aligned) {
    cp_async16(to, from, 2 * inside);
    return;
  }
  u32 words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const u32 low = 2 * i < inside ? from[2 * i].bits : 0, high = 2 * i + 1 < inside ? from[2 * i + 1].bits : 0;
    words[i] = low | high << 16;
  }
  *static_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
}

DEV bool in_pieces(const void* base, int64_t stride) { return reinterpret_cast<uintptr_t>(base) % 16 == 0 && stride % 8 == 0; }

}  // namespace fedlora::cuda
