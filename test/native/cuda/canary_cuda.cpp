// What the sanitizers must find in kernels, to prove that they look: one defect by its name; `none` is sound. No other check would notice
// the races: the numbers come out right.
#include <cstdio>
#include <cstring>

#include "backend/cuda/device/prelude.h"

namespace {

using namespace fedlora::cuda;

int thread() { return static_cast<int>(threadIdx.x); }
float* shared_floats() { return reinterpret_cast<float*>(emulator::shared_memory()); }

void none(char*) {
  shared_floats()[thread()] = 1;
  __syncthreads();
  shared_floats()[63 - thread()] += 1;
}
void missing_barrier(char* p) {
  shared_floats()[thread()] = 1;
  if (thread() == 63) reinterpret_cast<float*>(p)[0] = shared_floats()[0];
}
void missing_syncwarp(char* p) {
  shared_floats()[thread()] = 1;
  __shfl_sync(whole_warp, 1, 0);  // orders no memory
  reinterpret_cast<float*>(p)[thread()] = shared_floats()[thread() ^ 1];
}
void two_blocks(char* p) { reinterpret_cast<int*>(p)[thread()] = 1; }
void overrun(char* p) { p[256] = 0; }
void shared_overrun(char*) { emulator::shared_memory()[300] = 0; }
void local_overrun(char* p) {
  volatile int local[4] = {};
  volatile int index = 4 + p[0] - p[1];
  local[index] = 1;
}
void misaligned(char* p) { *reinterpret_cast<volatile int*>(p + 2) = 0; }

struct Defect {
  const char* name;
  void (*kernel)(char*);
  int blocks;
};
constexpr Defect defects[] = {{"none", none, 2},
                              {"missing_barrier", missing_barrier, 1},
                              {"missing_syncwarp", missing_syncwarp, 1},
                              {"two_blocks", two_blocks, 2},
                              {"overrun", overrun, 1},
                              {"shared_overrun", shared_overrun, 1},
                              {"local_overrun", local_overrun, 1},
                              {"misaligned", misaligned, 1}};

}  // namespace

int main(int argc, char** argv) {
  for (const Defect& defect : defects) {
    if (argc < 2 || std::strcmp(argv[1], defect.name) != 0) continue;
    char* buffer = nullptr;
    if (cudaMalloc(&buffer, 256) != cudaSuccess) return 1;
    FED_LAUNCH(defect.kernel, defect.blocks, 64, 300, nullptr, buffer);
    if (cudaGetLastError() != cudaSuccess) return 1;
    cudaFree(buffer);
    std::printf("ok 1 - %s\n1..1\n", defect.name);
    return 0;
  }
  return 1;
}
