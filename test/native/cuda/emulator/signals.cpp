#include "signals.h"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <ucontext.h>
#include <unistd.h>

#include "device_memory.h"
#include "machine.h"
#include "sanitizers.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

/// Where the address lies, as far as the emulator knows.
std::string describe(const void* address) {
  const ptrdiff_t in_window = static_cast<const char*>(address) - machine.shared;
  const auto near = static_cast<ptrdiff_t>(page_bytes);
  if (in_window > -near && in_window < static_cast<ptrdiff_t>(machine.shared_bytes) + near)
    return "shared byte " + std::to_string(in_window) + " of " + std::to_string(machine.shared_bytes);
  if (const char* stack = machine.current->stack; address < stack && address >= stack - page_bytes)
    return "its stack's end: too many local variables for the emulator";
  return describe_allocation(address);
}

/// Runs in the place of the thread that was stopped.
void leave() { abandon(); }

void handle(int signal, siginfo_t* info, void* context) {
  if (!machine.current) {  // not a kernel's doing
    const std::string text = "emulator: the host touches " + describe_allocation(info->si_addr) + "\n";
    if (write(2, text.data(), text.size()) < 0) std::abort();
    std::signal(signal, SIG_DFL);
    return;
  }
  const char* what = signal == SIGFPE ? "divides an integer by zero" : info->si_code == SI_KERNEL ? "uses a misaligned address" : nullptr;
  const std::string text = what ? what : "touches " + describe(info->si_addr);
  char head[160];
  std::snprintf(head, sizeof head, "%s, block (%u,%u,%u) thread %d: ", machine.kernel, machine.index.x, machine.index.y, machine.index.z,
                machine.current->linear);
  if (machine.error.empty()) machine.error = head + text;
  // The thread is not resumed: its stack is free for `leave`, which begins as a function that was called.
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  registers[REG_RIP] = reinterpret_cast<greg_t>(&leave);
  registers[REG_RSP] = reinterpret_cast<greg_t>(machine.current->stack + stack_bytes - 64 - 8);
}

}  // namespace

void watch_signals() {
#if !EMULATOR_TSAN && !EMULATOR_ASAN
  static bool watched = false;
  if (watched) return;
  watched = true;
  constexpr size_t bytes = size_t{64} << 10;
  stack_t stack{};
  stack.ss_sp = std::malloc(bytes);  // for as long as the process runs
  stack.ss_size = bytes;
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
#endif
}

}  // namespace emulator
