/// The masking kernels with vectors of 8 words.
#include <cstring>

#include "base/philox64.h"
#include "masking/kernels.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

namespace fedlora {

namespace {
#define FEDLORA_LANES 8
#include "masking/kernels.inl"
}  // namespace

const MaskingKernels masking_kernels_avx2{Isa::avx2, lanes, add_stream<Halfwords>, add_stream<Vector>, quantize};

}  // namespace fedlora

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
