#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/gemm.h"
#include "base/error.h"

namespace fedlora {

CpuBackend::CpuBackend(Compute compute, int threads, Isa isa) : compute_(compute), isa_(isa), kernels_(kernel_table(isa)), pool_(threads) {
  if (static_cast<int>(isa) > static_cast<int>(detect_isa()))
    fail(Code::E_ISA, "the CPU backend was asked for %s, but this machine supports only %s", isa_name(isa), isa_name(detect_isa()));
}

std::string CpuBackend::name() const { return std::string("cpu-") + isa_name(isa_); }

std::string CpuBackend::lacks(const Need& need) const {
  if (need.embedding != Format::f32 && need.embedding != Format::f16 && need.embedding != Format::bf16)
    return std::string("an embedding in ") + format_name(need.embedding);
  return {};
}

OwnBytes CpuBackend::needs(const PassSize& pass) const {
  constexpr size_t each_thread = 2 << 20;  // packed panels, decoded rows and attention blocks
  // Backward of attention sums the gradients of q, k and v in f32 before it rounds them.
  const int64_t attention = 2 * pass.tokens * pass.heads * (pass.head_dim + 2);
  // x·A_resᵀ in forward, d_y·B_res in backward; and on each thread the panels of both factors.
  const int64_t frozen =
      pass.frozen_ranks * (pass.tokens * activation_width(compute_) + threads() * 4 * gemm_shape(pass.tokens).panel_columns);
  return {static_cast<size_t>(attention) * sizeof(float) + static_cast<size_t>(threads()) * each_thread + static_cast<size_t>(frozen),
          linear_cross_entropy_bytes(compute_, pass.supervised, pass.vocabulary)};
}

size_t CpuBackend::scratch_bytes() const {
  size_t total = 0;
  for (const Scratch& scratch : scratch_) total += scratch.bytes();
  return total;
}

std::unique_ptr<Backend> make_cpu_backend(Compute compute, int threads) {
  return std::make_unique<CpuBackend>(compute, threads, select_isa());
}

std::vector<KernelInfo> cpu_kernels() {
  const int selected = static_cast<int>(select_isa());
  std::vector<KernelInfo> kernels;
#define NAMED(name, kernel)                                            \
  for (int level = selected; level >= 0; --level)                      \
    if (own_kernel_table(static_cast<Isa>(level)).kernel != nullptr) { \
      kernels.push_back({name, isa_name(static_cast<Isa>(level))});    \
      break;                                                           \
    }
#define KERNEL(kernel, ...) NAMED(#kernel, kernel)
#define TYPED(kernel, ...) NAMED(#kernel "_f32", TypedKernels<float>::kernel) NAMED(#kernel "_bf16", TypedKernels<bf16>::kernel)
#include "backend/cpu/kernels/kernel_list.def"
#undef TYPED
#undef KERNEL
#undef NAMED
  return kernels;
}

}  // namespace fedlora
