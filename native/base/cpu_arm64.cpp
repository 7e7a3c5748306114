// What an arm64 processor has beyond NEON, which all of them have.
#include "base/cpu_features.h"

#if defined(__aarch64__)
#include <cstdio>
#include <cstring>

#include "base/cpu_arm64.h"

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

namespace fedlora {

namespace {
#if defined(__APPLE__)
bool says_yes(const char* name) {
  int has = 0;
  size_t bytes = sizeof has;
  return sysctlbyname(name, &has, &bytes, nullptr, 0) == 0 && has != 0;
}
#endif

/// BFDOT on vectors of 128 bits.
bool has_bf16() {
#if defined(__linux__)
  constexpr unsigned long hwcap2_bf16 = 1ul << 14;  // Linux: Documentation/arch/arm64/elf_hwcaps.rst
  return (getauxval(AT_HWCAP2) & hwcap2_bf16) != 0;
#elif defined(__APPLE__)
  return says_yes("hw.optional.arm.FEAT_BF16");
#elif defined(_WIN32)
  constexpr DWORD bf16_instructions = 68;  // PF_ARM_V86_BF16_INSTRUCTIONS_AVAILABLE of newer headers
  return IsProcessorFeaturePresent(bf16_instructions) != 0;
#else
  return false;
#endif
}
}  // namespace

bool has_crc32_instructions() {
#if defined(__linux__)
  constexpr unsigned long hwcap_crc32 = 1ul << 7;
  return (getauxval(AT_HWCAP) & hwcap_crc32) != 0;
#elif defined(__APPLE__)
  return says_yes("hw.optional.armv8_crc32");
#elif defined(_WIN32)
  return IsProcessorFeaturePresent(31) != 0;  // PF_ARM_V8_CRC32_INSTRUCTIONS_AVAILABLE
#else
  return false;
#endif
}

Isa detect_isa() {
  static const Isa strongest = has_bf16() ? Isa::neonbf16 : Isa::neon;
  return strongest;
}

std::string cpu_name() {
#if defined(__APPLE__)
  char name[128] = {};
  size_t bytes = sizeof name - 1;
  if (sysctlbyname("machdep.cpu.brand_string", name, &bytes, nullptr, 0) == 0 && name[0] != '\0') return name;
#elif defined(__linux__)
  // Arm's cores have no brand string: "implementer 0x41, part 0xd0c" is a Neoverse N1 in Arm's list.
  unsigned implementer = 0, part = 0;
  if (std::FILE* file = std::fopen("/proc/cpuinfo", "r")) {
    char line[256], model[200] = {};
    while (std::fgets(line, sizeof line, file) != nullptr) {
      if (std::sscanf(line, "model name : %199[^\n]", model) == 1) break;
      std::sscanf(line, "CPU implementer : %x", &implementer);
      std::sscanf(line, "CPU part : %x", &part);
    }
    std::fclose(file);
    if (model[0] != '\0') return model;
  }
  if (implementer != 0) {
    char text[64];
    std::snprintf(text, sizeof text, "arm64, implementer 0x%02x, part 0x%03x", implementer, part);
    return text;
  }
#endif
  return "unknown";
}

}  // namespace fedlora
#endif
