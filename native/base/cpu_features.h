/// What this processor can do, and how far FEDLORA_ISA lets us use it. Compiled without any architecture flag.
#pragma once
#include <string>

namespace fedlora {

/// Instruction-set levels, weakest first. Each is a named bundle:
///   scalar       plain C++ at the ABI floor
///   avx2         AVX2 + FMA + F16C
///   avx512bf16   AVX-512 F/BW/VL/DQ + BF16 dot product
enum class Isa { scalar, avx2, avx512bf16 };
inline constexpr int isa_levels = 3;

const char* isa_name(Isa isa);

/// The strongest level that the processor and the operating system support.
Isa detect_isa();

/// detect_isa(), capped by the environment variable FEDLORA_ISA. Throws E_ISA when the name is unknown or the machine lacks it.
Isa select_isa();

/// The processor's brand string, or "unknown".
std::string cpu_name();

}  // namespace fedlora
