/// What this processor can do, and how far FEDLORA_ISA lets us use it. Compiled without any architecture flag.
#pragma once
#include <string>

namespace fedlora {

/// Instruction-set levels of this architecture, weakest first. Each is a named bundle: isa_levels.def.
enum class Isa {
#define LEVEL(name, needs) name,
#include "base/isa_levels.def"
#undef LEVEL
};
#define LEVEL(name, needs) +1
inline constexpr int isa_levels =
#include "base/isa_levels.def"
    ;
#undef LEVEL

const char* isa_name(Isa isa);
/// What a processor must offer for it, in words.
const char* isa_needs(Isa isa);

/// The strongest level that the processor and the operating system support.
Isa detect_isa();

/// detect_isa(), capped by the environment variable FEDLORA_ISA. Throws E_ISA when the name is unknown or the machine lacks it.
Isa select_isa();

/// The processor's brand string, or "unknown".
std::string cpu_name();

}  // namespace fedlora
