/// The masking kernels with vectors of 16 words.
#include <cstring>

#include "base/philox64.h"
#include "base/target.h"
#include "masking/kernels.h"

#if defined(__x86_64__)
FEDLORA_TARGET_BEGIN(FEDLORA_AVX512)

namespace fedlora {

namespace {
#define FEDLORA_LANES 16
#include "masking/kernels.inl"
}  // namespace

const MaskingKernels masking_kernels_avx512{Isa::avx512bf16, lanes, add_stream<Halfwords>, add_stream<Vector>, quantize};

}  // namespace fedlora

FEDLORA_TARGET_END
#endif
