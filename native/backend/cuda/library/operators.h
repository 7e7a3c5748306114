/// The operators of ops.def as the table has them: each takes a context and the arguments of its signature as `Wire` makes them, stages
/// what lies in host memory and calls its launch function. One file a family, operators_<family>.cu.
#pragma once
#include "backend/cuda/abi.h"

namespace fedlora::cuda {

void fill_operators(Operators& table);

// Each puts the operators of its family there.
void fill_memory(Operators& table);
void fill_attention(Operators& table);
void fill_decode(Operators& table);
void fill_norm(Operators& table);
void fill_rows(Operators& table);
void fill_flat(Operators& table);
void fill_head(Operators& table);
void fill_linear(Operators& table);

}  // namespace fedlora::cuda
