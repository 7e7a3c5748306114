#include "matrix.h"

#include <cstring>

#include "numbers.h"
#include "rendezvous.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

/// One mma of m16n8: K elements a row, `Packed` of them in a register. Row of A's register i: lane/4 + 8·(i & 1); its columns begin at
/// lane%4·Packed + K/2·(i >> 1); B likewise with its only column lane/4. Element i of the accumulator: row lane/4 + 8·(i >> 1), column
/// lane%4·2 + (i & 1).
template <int K, int Packed, class Sum, class Take>
void mma(Sum* d, const uint32_t* a, const uint32_t* b, const char* name, Take take) {
  struct Argument {
    const uint32_t *a, *b;
    Sum* d;
  } mine{a, b, d};
  meet_warp(~0u, &mine, name, Order::none, [&](void** all) {
    Sum A[16][K], B[K][8], C[16][8] = {};
    for (int lane = 0; lane < 32; ++lane) {
      const Argument& argument = *static_cast<Argument*>(all[lane]);
      const int row = lane / 4, column = lane % 4 * Packed;
      for (int e = 0; e < Packed; ++e) {
        for (int i = 0; i < 4; ++i) A[row + 8 * (i & 1)][column + e + K / 2 * (i >> 1)] = take(argument.a[i], e);
        for (int i = 0; i < 2; ++i) B[column + e + K / 2 * i][row] = take(argument.b[i], e);
      }
    }
    for (int i = 0; i < 16; ++i)
      for (int k = 0; k < K; ++k)
        for (int j = 0; j < 8; ++j) C[i][j] += A[i][k] * B[k][j];
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) static_cast<Argument*>(all[lane])->d[i] += C[lane / 4 + 8 * (i >> 1)][lane % 4 * 2 + (i & 1)];
  });
}

}  // namespace

void ldmatrix(uint32_t* fragment, const void* row, int count, bool transposed) {
  struct Argument {
    uint16_t row[8];
    uint32_t out[4];
  } mine{};
  if (lane() < 8 * count) {
    shared_offset(row, 16, 16, "ldmatrix");
    device_access::read(row, 16);
    Quiet quiet;
    std::memcpy(mine.row, row, 16);
  }
  perhaps_yield();
  meet_warp(~0u, &mine, transposed ? "ldmatrix.trans" : "ldmatrix", Order::none, [&](void** all) {
    const auto at = [&](int matrix, int i, int j) -> uint32_t { return static_cast<Argument*>(all[matrix * 8 + i])->row[j]; };
    for (int lane = 0; lane < 32; ++lane)
      for (int m = 0; m < count; ++m) {
        const int i = lane / 4, j = lane % 4 * 2;
        const uint32_t low = transposed ? at(m, j, i) : at(m, i, j), high = transposed ? at(m, j + 1, i) : at(m, i, j + 1);
        static_cast<Argument*>(all[lane])->out[m] = low | high << 16;
      }
  });
  for (int m = 0; m < count; ++m) fragment[m] = mine.out[m];
}

void mma_bf16(float* d, const uint32_t* a, const uint32_t* b) {
  mma<16, 2>(d, a, b, "mma.bf16", [](uint32_t word, int e) { return widen_bf16(static_cast<uint16_t>(word >> (16 * e))); });
}

void mma_tf32(float* d, const uint32_t* a, const uint32_t* b) {
  mma<8, 1>(d, a, b, "mma.tf32", [](uint32_t word, int) { return truncate_tf32(word); });
}

void mma_s8(int32_t* d, const uint32_t* a, const uint32_t* b) {
  mma<32, 4>(d, a, b, "mma.s8", [](uint32_t word, int e) { return static_cast<int32_t>(static_cast<int8_t>(word >> (8 * e))); });
}

}  // namespace emulator
