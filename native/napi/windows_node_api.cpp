// Windows: Node-API's functions, looked up in the program that runs. An import would bind to a module of the name node.exe, which Electron,
// and a Node of another name, do not have. node_api_names.inc holds NODE_API(function) of all, written by CMake from node-api-headers. MSVC
// links node.lib with cmake-js's hook for delayed loading instead: it has no assembly in C++.
#if defined(_WIN32) && !defined(_MSC_VER)
#include <windows.h>

// A pointer, and under the function's own name a jump through it, which leaves the arguments where they are.
#define NODE_API(function)               \
  extern "C" FARPROC fedlora_##function; \
  FARPROC fedlora_##function = nullptr;  \
  asm(".globl " #function "\n" #function ": jmpq *fedlora_" #function "(%rip)\n");
#include "node_api_names.inc"
#undef NODE_API

/// Refuses to be loaded (ERROR_DLL_INIT_FAILED) by a program that lacks one of them.
extern "C" BOOL WINAPI DllMain(HINSTANCE, DWORD reason, LPVOID) {
  if (reason != DLL_PROCESS_ATTACH) return TRUE;
  const HMODULE program = GetModuleHandleW(nullptr);
#define NODE_API(function) \
  if ((fedlora_##function = GetProcAddress(program, #function)) == nullptr) return FALSE;
#include "node_api_names.inc"
#undef NODE_API
  return TRUE;
}
#endif
