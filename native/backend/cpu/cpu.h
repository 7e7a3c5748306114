/// What only the CPU has: its backend's maker, its peaks, the kernels that it chose.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backend/ops.h"

namespace fedlora {

struct KernelInfo {
  std::string kernel, isa;
};

/// The CPU backend: `threads` ≥ 1 members; the ISA from select_isa().
std::unique_ptr<Backend> make_cpu_backend(Compute compute, int threads);
/// Peak arithmetic in registers, flop/s of all threads together, measured for about `seconds`: f32 multiply-adds, or for bf16 what its
/// products are made of here.
double measure_cpu_roof(Compute compute, int threads, double seconds);
/// Peak of reading memory, bytes/s of all threads together, measured for about `seconds` over 256 MiB, which no cache holds; making
/// them takes a moment more. Throws E_MEMORY.
double measure_read_bandwidth(int threads, double seconds);
/// Which ISA each leaf kernel resolves to under FEDLORA_ISA.
std::vector<KernelInfo> cpu_kernels();

}  // namespace fedlora
