/// Tensors that a file stores under other names, with their rows in another order, or packed by others, than the description of its model
/// has them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fedlora {

/// Rows in another order: of N = outer·a·b·r rows, row ((o·a + i)·b + j)·r + k of the one side is row ((o·b + j)·a + i)·r + k of the other.
/// llama.cpp keeps the two halves of a rotated head interleaved: outer heads, a = D/2, b = 2 in its file.
struct RowSwap {
  int64_t outer = 1, a = 1, b = 1;
  bool any() const { return a > 1 && b > 1; }
  RowSwap back() const { return {outer, b, a}; }
};

/// Who packed the linear weights of a checkpoint (io/packed_checkpoint.h tells how).
enum class Packing { none, gptq, gptq_v2, awq, fp8 };

struct PackedWeights {
  Packing packing = Packing::none;
  int64_t block_rows = 128, block_columns = 128;  // of FP8's scales
};

struct StoredTensor {
  std::string name;    // the description's, with its ".weight" or ".bias"
  std::string stored;  // the file's
  RowSwap swap;        // of the file's rows
};

/// `out` gets the rows of `in`, `row_bytes` each, in the order of the other side. Throws E_SHAPE, naming `name`, when they do not divide.
void swap_rows(const uint8_t* in, int64_t rows, size_t row_bytes, const RowSwap& swap, uint8_t* out, const std::string& name);

}  // namespace fedlora
