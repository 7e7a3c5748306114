/// How the numbers of a frozen weight are stored.
#pragma once
#include <string_view>

namespace fedlora {

/// f32, f16, bf16: as stored. int8: row-wise absmax (LLM.int8). nf4, fp4: bitsandbytes' 4-bit codes with one scale a block.
enum class Format { f32, f16, bf16, int8, nf4, fp4 };

constexpr const char* format_name(Format format) {
  constexpr const char* names[] = {"f32", "f16", "bf16", "int8", "nf4", "fp4"};
  return names[static_cast<int>(format)];
}

constexpr bool is_4bit(Format format) { return format == Format::nf4 || format == Format::fp4; }

}  // namespace fedlora
