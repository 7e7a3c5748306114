// What the machine is and has: features of the processor, levels of instruction sets, memory of this process.
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/process_memory.h"
#include "base/sanitizers.h"
#include "harness.h"
#if defined(__x86_64__)
#include "base/cpu_x86.h"
#endif

using namespace fedlora;

#if defined(__x86_64__) && !defined(__clang__)
#define AGREES(feature) CHECK(has.feature == (__builtin_cpu_supports(#feature) != 0))
CASE("CPUID by hand says what the compiler's library says") {
  const X86Features& has = x86_features();
  AGREES(avx2);
  AGREES(fma);
  AGREES(f16c);
  AGREES(avx512f);
  AGREES(avx512bw);
  AGREES(avx512dq);
  AGREES(avx512vl);
  AGREES(avx512bf16);
  AGREES(avx512ifma);
  AGREES(avx512vbmi);
  AGREES(pclmul);
  AGREES(vpclmulqdq);
}
#undef AGREES
#endif

CASE("levels have a name and a need each, and the weakest always runs") {
  std::set<std::string> names;
  for (int level = 0; level < isa_levels; ++level) {
    const Isa isa = static_cast<Isa>(level);
    CHECK(names.insert(isa_name(isa)).second);
    CHECK(std::string(isa_needs(isa)).size() > 3);
  }
  CHECK(std::string(isa_name(Isa::scalar)) == "scalar" && static_cast<int>(Isa::scalar) == 0);
  setenv("FEDLORA_ISA", "scalar", 1);
  CHECK(select_isa() == Isa::scalar);
  setenv("FEDLORA_ISA", "", 1);
  CHECK(select_isa() == detect_isa());
  unsetenv("FEDLORA_ISA");
  CHECK(select_isa() == detect_isa());
}

namespace {
std::string refusal(const char* wanted) {
  setenv("FEDLORA_ISA", wanted, 1);
  std::string text;
  try {
    (void)select_isa();
  } catch (const Error& error) {
    text = std::string(code_name(error.code())) + ": " + error.what();
  }
  unsetenv("FEDLORA_ISA");
  return text;
}
}  // namespace

CASE("a level of no name here is refused with all that are, one that the machine lacks with what it needs") {
  const std::string unknown = refusal("avx9");
  CHECK(unknown.starts_with("E_ISA: FEDLORA_ISA=avx9 is unknown"));
  for (int level = 0; level < isa_levels; ++level) CHECK(unknown.find(isa_name(static_cast<Isa>(level))) != std::string::npos);
  CHECK(refusal("scala").starts_with("E_ISA"));
  for (int level = 0; level < isa_levels; ++level) {
    const std::string text = refusal(isa_name(static_cast<Isa>(level)));
    CHECK(text.empty() == (level <= static_cast<int>(detect_isa())));
    if (!text.empty()) CHECK(text.find(isa_needs(static_cast<Isa>(level))) != std::string::npos);
  }
}

CASE("memory of this process grows with what is touched, and its peak stays") {
  const ProcessMemory before = process_memory();
  CHECK(before.resident > 1e5 && before.peak >= before.resident && before.peak < 1e11);
  constexpr size_t bytes = size_t{48} << 20;
  {
    std::vector<char> block(bytes, 1);
    asm volatile("" : : "r"(block.data()) : "memory");  // somebody looks: clang leaves out memory that nobody does
    CHECK(block[bytes / 2] == 1);
    CHECK(process_memory().resident >= before.resident + 0.9 * bytes);
  }
  const ProcessMemory after = process_memory();
  CHECK(after.peak >= before.resident + 0.9 * bytes);
#if !defined(FEDLORA_ADDRESS_SANITIZER)  // which keeps freed blocks for a while, to see who still uses them
  CHECK(after.resident < before.resident + 0.5 * bytes);
#endif
}

TEST_MAIN()
