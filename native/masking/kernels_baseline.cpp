/// The masking kernels at the ABI floor, with vectors of 4 words, and the choice between the tables.
#include <cstring>

#include "base/philox64.h"
#include "masking/kernels.h"

namespace fedlora {

namespace {
#define FEDLORA_LANES 4
#include "masking/kernels.inl"

const MaskingKernels baseline{Isa::scalar, lanes, add_stream<Halfwords>, add_stream<Vector>, quantize};
}  // namespace

const MaskingKernels& masking_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512bf16) return masking_kernels_avx512;
  if (isa == Isa::avx2) return masking_kernels_avx2;
#endif
  (void)isa;
  return baseline;
}

const MaskingKernels& masking_kernels() {
  static const MaskingKernels& chosen = masking_kernels(select_isa());
  return chosen;
}

}  // namespace fedlora
