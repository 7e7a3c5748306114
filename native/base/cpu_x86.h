/// The instructions of x86-64 beyond the ABI floor that some file has a version for. Compiled on x86-64 only.
#pragma once

namespace fedlora {

/// True where the processor has the instruction and the operating system keeps its registers.
struct X86Features {
  bool avx2, fma, f16c;
  bool avx512f, avx512bw, avx512dq, avx512vl, avx512bf16, avx512ifma, avx512vbmi;
  bool pclmul, vpclmulqdq;
};

/// Asked of the processor once.
const X86Features& x86_features();

}  // namespace fedlora
