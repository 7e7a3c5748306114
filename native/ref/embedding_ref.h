/// The book: rows of the embedding table.   x[m,:] = multiplier · table[ids[m],:]     table [V,K], ids [M], x [M,K]
#pragma once
#include <cstdint>
#include <span>

namespace fedlora::ref {

template <class Real>
void embedding_forward(std::span<const int32_t> ids, int64_t K, const Real* table, double multiplier, Real* x);

}  // namespace fedlora::ref
