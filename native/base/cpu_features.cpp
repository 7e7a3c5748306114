// Levels and their names. What a processor has: cpu_x86.cpp, cpu_arm64.cpp.
#include "base/cpu_features.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace fedlora {

namespace {
struct Level {
  const char* name;
  const char* needs;
};
constexpr Level levels[] = {
#define LEVEL(name, needs) {#name, needs},
#include "base/isa_levels.def"
#undef LEVEL
};
}  // namespace

const char* isa_name(Isa isa) { return levels[static_cast<int>(isa)].name; }
const char* isa_needs(Isa isa) { return levels[static_cast<int>(isa)].needs; }

Isa select_isa() {
  const Isa detected = detect_isa();
  const char* wanted = std::getenv("FEDLORA_ISA");
  if (wanted == nullptr || *wanted == '\0') return detected;
  std::string known;
  for (int level = 0; level < isa_levels; ++level) {
    known += (level > 0 ? ", " : "") + std::string(levels[level].name);
    if (std::strcmp(wanted, levels[level].name) != 0) continue;
    if (level > static_cast<int>(detected))
      fail(Code::E_ISA,
           "FEDLORA_ISA=%s, but this machine supports only %s: it lacks some of %s. Unset FEDLORA_ISA or set it to %s or less.", wanted,
           isa_name(detected), levels[level].needs, isa_name(detected));
    return static_cast<Isa>(level);
  }
  fail(Code::E_ISA, "FEDLORA_ISA=%s is unknown on this architecture. Expected one of: %s.", wanted, known.c_str());
}

#if !defined(__x86_64__) && !defined(__aarch64__)
Isa detect_isa() { return Isa::scalar; }
std::string cpu_name() { return "unknown"; }
#endif

}  // namespace fedlora
