#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

void fill_operators(Operators& table) {
  fill_memory(table);
  fill_rows(table);
  fill_norm(table);
  fill_attention(table);
  fill_flat(table);
  fill_head(table);
  fill_linear(table);
  fill_decode(table);
}

}  // namespace fedlora::cuda
