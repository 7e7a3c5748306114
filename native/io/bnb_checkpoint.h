/// Linear weights as transformers + bitsandbytes save them, to and from the packed form. The bytes are the same on both sides.
///
///   4-bit   <weight>                                    U8 [ceil(n/2), 1], or the same bytes under another dtype (quant_storage)
///           <weight>.absmax                             F32 [blocks], or U8 [blocks] when nested
///           <weight>.quant_map                          F32 [16]
///           <weight>.nested_absmax, .nested_quant_map   F32 [ceil(blocks/256)], F32 [256]
///           <weight>.quant_state.bitsandbytes__nf4      U8, JSON: quant_type, blocksize, dtype, shape, nested_…  (or …__fp4)
///   int8    <p>.weight I8 [N, K], <p>.SCB F32 [N], <p>.weight_format U8 scalar, 0 = row-major
/// Source: bitsandbytes functional.py, QuantState; nn/modules.py, Linear8bitLt.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors_writer.h"
#include "quant/matrix.h"
#include "tensor/source.h"

namespace fedlora {

/// nf4, fp4 or int8 when `weight_name` ("….weight") is stored as codes of bitsandbytes; empty when it is plain or absent.
std::optional<Format> bnb_format(const TensorSource& source, const std::string& weight_name);
bool is_bnb_quantized(const TensorSource& source, const std::string& weight_name);

/// The names of all tensors that make up this weight, itself first; only itself when it is plain.
std::vector<std::string> bnb_part_names(const TensorSource& source, const std::string& weight_name);

/// The weight that a tensor of this name would be a part of ("<p>.weight" for "<p>.weight.absmax" and "<p>.SCB"); empty when its name is
/// none of a part's.
std::string bnb_weight_of(const std::string& part_name);

/// Throws E_MISSING, E_SHAPE, E_DTYPE, E_FORMAT (quant_state, other value maps), E_NONFINITE (scales), E_UNSUPPORTED (block sizes other
/// than 64 and 128, nested ones other than 256, column-tiled int8), each naming the tensor.
Matrix read_bnb_matrix(const TensorSource& source, const std::string& weight_name);

/// The tensors to save for one weight. `original_dtype` (F32, F16 or BF16) is what loaders will compute in. The large ones borrow from
/// `matrix`, which must outlive them. A plain matrix gives one plain tensor.
std::vector<NamedTensor> bnb_tensors(const std::string& weight_name, const Matrix& matrix, DType original_dtype);

}  // namespace fedlora
