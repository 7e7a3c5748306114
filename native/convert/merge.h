/// A checkpoint with an adapter added into its weights.
#pragma once
#include "convert/rewrite.h"
#include "model/adapter.h"
#include "model/tensor_list.h"
#include "tensor/stored.h"

namespace fedlora {

/// W + s·(B·A + B_res·A_res) in float32, rounded once to the stored type; layers that were stored quantised become bf16. Other tensors are
/// copied (from a quantised folder, its quantisation state is left out), all under the description's names, those of a multimodal
/// checkpoint under its own; weights that the family stores transposed are so again. E_NONFINITE, naming tensor, row, column and value,
/// when a sum is beyond the type; nothing is left at `output` then.
RewriteResult merge_checkpoint(const std::vector<std::string>& files, const std::string& output, const Description& description,
                               const Adapter& adapter, const PackedWeights& packed = {});

/// row [K] += s·(B[n,:]·A + B_res[n,:]·A_res): what the adapter adds to row n of a linear layer that it sits on. `product` [K] is scratch.
void add_row(const Adapter& adapter, const ModelTensor& linear, int64_t n, std::vector<float>& product, std::vector<float>& row);

}  // namespace fedlora
