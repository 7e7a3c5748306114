#include "backend/cpu/cpu_backend.h"

#include "base/error.h"

namespace fedlora {

CpuBackend::CpuBackend(Compute compute, int threads, Isa isa) : compute_(compute), isa_(isa), kernels_(kernel_table(isa)), pool_(threads) {
  if (static_cast<int>(isa) > static_cast<int>(detect_isa()))
    fail(Code::E_ISA, "the CPU backend was asked for %s, but this machine supports only %s", isa_name(isa), isa_name(detect_isa()));
}

std::string CpuBackend::name() const { return std::string("cpu-") + isa_name(isa_); }

size_t CpuBackend::scratch_bytes() const {
  size_t total = 0;
  for (const Scratch& scratch : scratch_) total += scratch.bytes();
  return total;
}

std::unique_ptr<Backend> make_cpu_backend(Compute compute, int threads) {
  return std::make_unique<CpuBackend>(compute, threads, select_isa());
}

}  // namespace fedlora
