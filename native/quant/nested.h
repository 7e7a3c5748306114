/// Double quantisation: the block scales of a 4-bit matrix in 8 bits each.
///
///   offset = mean(absmax)      d_b = absmax_b − offset      in groups of 256:  scale = max |d|,  code_b from d_b × (1 / scale)
///   decode: absmax_b = (dynamic_map[code_b] × scale) + offset, rounded after the product and after the sum
///
/// The code is the one that bitsandbytes' CPU encoder picks: it first snaps x ∈ [−1, 1] to a grid of 65536 points and then takes the
/// nearest map entry of the grid point, ties to the smaller. A group that is all zero gets code 0.
/// Source: bitsandbytes functional.py, quantize_4bit; csrc/cpu_ops.cpp, quantize_cpu.
#pragma once
#include "quant/matrix.h"

namespace fedlora {

/// The mean of the flat scales as torch has it on one thread. From 32,768 scales on, torch's own last bits depend on its number of threads.
float mean_absmax(const Matrix& matrix);

/// Replaces the flat scales of a 4-bit matrix by nested ones. The second form takes the offset as given.
void nest_absmax(Matrix& matrix);
void nest_absmax(Matrix& matrix, float offset);

/// The scale of one block, flat or nested. No bounds check.
float block_absmax(const Matrix& matrix, int64_t block);

}  // namespace fedlora
