#include "base/cpu_features.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fedlora {

namespace {
constexpr const char* names[isa_levels] = {"scalar", "avx2", "avx512bf16"};
}

const char* isa_name(Isa isa) { return names[static_cast<int>(isa)]; }

Isa detect_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (!avx2) return Isa::scalar;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bf16");
  return avx512 ? Isa::avx512bf16 : Isa::avx2;
#else
  return Isa::scalar;
#endif
}

Isa select_isa() {
  const Isa detected = detect_isa();
  const char* wanted = std::getenv("FEDLORA_ISA");
  if (wanted == nullptr || *wanted == '\0') return detected;
  for (int level = 0; level < isa_levels; ++level) {
    if (std::strcmp(wanted, names[level]) != 0) continue;
    if (level > static_cast<int>(detected))
      fail(Code::E_ISA, "FEDLORA_ISA=%s, but this machine supports only %s. Unset FEDLORA_ISA or set it to %s or less.", wanted,
           isa_name(detected), isa_name(detected));
    return static_cast<Isa>(level);
  }
  fail(Code::E_ISA, "FEDLORA_ISA=%s is unknown. Expected one of: scalar, avx2, avx512bf16.", wanted);
}

std::string cpu_name() {
#if defined(__x86_64__)
  unsigned words[12] = {};
  unsigned highest = __get_cpuid_max(0x80000000u, nullptr);
  if (highest < 0x80000004u) return "unknown";
  for (unsigned leaf = 0; leaf < 3; ++leaf)
    __get_cpuid(0x80000002u + leaf, &words[leaf * 4], &words[leaf * 4 + 1], &words[leaf * 4 + 2], &words[leaf * 4 + 3]);
  char text[49] = {};
  std::memcpy(text, words, 48);
  return std::string(text);
#else
  return "unknown";
#endif
}

}  // namespace fedlora
