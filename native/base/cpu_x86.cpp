// CPUID by hand: the compilers' own __builtin_cpu_supports() needs a run-time library that not every one of them ships.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CPUID, and volume 1, 13.3 and 15.2 (what XCR0 must have).
#include "base/cpu_x86.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>
#include <cstring>

#include "base/cpu_features.h"

namespace fedlora {

namespace {
struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};
/// Zeros where the processor does not know the leaf.
Leaf leaf(unsigned number, unsigned part) {
  Leaf leaf;
  if (__get_cpuid_count(number, part, &leaf.a, &leaf.b, &leaf.c, &leaf.d) == 0) return {};
  return leaf;
}

/// The register states that the operating system saves (XCR0).
uint64_t saved_states() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

X86Features ask() {
  const auto bit = [](unsigned word, int at) { return (word >> at & 1) != 0; };
  const Leaf basic = leaf(1, 0), extended = leaf(7, 0), more = extended.a >= 1 ? leaf(7, 1) : Leaf{};
  const uint64_t states = bit(basic.c, 27) ? saved_states() : 0;           // OSXSAVE
  const bool ymm = (states & 0x06) == 0x06 && bit(basic.c, 28);            // SSE and AVX
  const bool zmm = ymm && (states & 0xe0) == 0xe0 && bit(extended.b, 16);  // masks, both halves of ZMM
  X86Features has{};
  has.pclmul = bit(basic.c, 1);
  has.avx2 = ymm && bit(extended.b, 5), has.fma = ymm && bit(basic.c, 12), has.f16c = ymm && bit(basic.c, 29);
  has.avx512f = zmm, has.avx512dq = zmm && bit(extended.b, 17), has.avx512bw = zmm && bit(extended.b, 30);
  has.avx512vl = zmm && bit(extended.b, 31), has.avx512ifma = zmm && bit(extended.b, 21), has.avx512vbmi = zmm && bit(extended.c, 1);
  has.avx512bf16 = zmm && bit(more.a, 5), has.vpclmulqdq = ymm && bit(extended.c, 10);
  return has;
}
}  // namespace

const X86Features& x86_features() {
  static const X86Features features = ask();
  return features;
}

Isa detect_isa() {
  const X86Features& has = x86_features();
  if (!(has.avx2 && has.fma && has.f16c)) return Isa::scalar;
  const bool avx512 = has.avx512f && has.avx512bw && has.avx512vl && has.avx512dq && has.avx512bf16;
  return avx512 ? Isa::avx512bf16 : Isa::avx2;
}

std::string cpu_name() {
  unsigned words[12] = {};
  if (__get_cpuid_max(0x80000000u, nullptr) < 0x80000004u) return "unknown";
  for (unsigned part = 0; part < 3; ++part) {
    unsigned* const at = words + part * 4;
    __get_cpuid(0x80000002u + part, at, at + 1, at + 2, at + 3);
  }
  char text[49] = {};
  std::memcpy(text, words, 48);
  return std::string(text);
}

}  // namespace fedlora
#endif
