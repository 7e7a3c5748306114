/// The book: one number out of a block of GGUF, bit by bit. quant/ggml_blocks.h has the layouts.
#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace fedlora::ref {

/// Number `i` of the block at `block`, i below the type's block_elements.
float block_element(DType dtype, const uint8_t* block, int i);

}  // namespace fedlora::ref
