/// Tensor maps for the TMA, encoded on the host by the driver.
#pragma once
#include <cuda.h>

#include <cstdint>

namespace fedlora::cuda {

/// A bf16 matrix [rows, columns] whose rows begin `pitch` elements apart, read in boxes of box_rows × box_columns with the 128-byte
/// swizzle: box_columns is at most 64. base: aligned to 16 bytes; pitch: a multiple of 8. Throws std::runtime_error when the driver
/// refuses.
CUtensorMap matrix_map(const void* base, int64_t rows, int64_t columns, int64_t pitch, int box_rows, int box_columns = 64);

/// The same for a stack of matrices `plane` elements apart, [planes, rows, columns], in boxes of one plane.
CUtensorMap stack_map(const void* base, int64_t planes, int64_t rows, int64_t columns, int64_t pitch, int64_t plane, int box_rows,
                      int box_columns = 64);

}  // namespace fedlora::cuda
