/// The masking kernels with vectors of 8 words.
#include <cstring>

#include "base/philox64.h"
#include "base/target.h"
#include "masking/kernels.h"

#if defined(__x86_64__)
FEDLORA_TARGET_BEGIN(FEDLORA_AVX2)

namespace fedlora {

namespace {
#define FEDLORA_LANES 8
#include "masking/kernels.inl"
}  // namespace

const MaskingKernels masking_kernels_avx2{Isa::avx2, lanes, add_stream<Halfwords>, add_stream<Vector>, quantize};

}  // namespace fedlora

FEDLORA_TARGET_END
#endif
