/// One frozen weight out of a checkpoint, in the format that is wanted.
#pragma once
#include <optional>
#include <string>

#include "base/thread_pool.h"
#include "quant/matrix.h"
#include "tensor/source.h"

namespace fedlora {

/// Reads `name` [N, K] and releases the source's pages. Memory: the packed matrix, and the pages of this one tensor.
///
/// `wanted` empty keeps what is stored; blocks of GGUF become the float32 numbers that they stand for. A plain tensor is encoded as
/// `encode_matrix` does. A tensor stored as bitsandbytes codes is taken as it is when `wanted` is its format (with its own block size and
/// nesting), is decoded when `wanted` is f32, f16 or bf16, and is refused with E_UNSUPPORTED otherwise: quantising twice loses accuracy.
/// Throws what encode_matrix and read_bnb_matrix throw, with the name in front.
Matrix read_matrix(const TensorSource& source, const std::string& name, std::optional<Format> wanted, int block, bool double_quantization,
                   ThreadPool& pool);

}  // namespace fedlora
