/// ldmatrix and mma.sync (sm_80): the tensor cores as one warp uses them.
///
/// Fragments of m16n8k16, lane l, two bf16 a register, r = l / 4, c = 2·(l % 4):
///   A [16,16]  a0 (r, c)  a1 (r + 8, c)  a2 (r, c + 8)  a3 (r + 8, c + 8)
///   B [16,8]   b0 (k = c, n = r)  b1 (k = c + 8, n = r)
///   D [16,8]   d0, d1 (r, c), (r, c + 1)  d2, d3 (r + 8, c), (r + 8, c + 1)
/// PTX ISA, "Warp-level matrix instructions".
#pragma once
#include "backend/cuda/ptx/shared_address.h"

namespace fedlora::cuda {

#if defined(__CUDACC__)
/// Four (two) 8×8 matrices of 16-bit elements: lane l names row l % 8 of matrix l / 8, 16 bytes each; r[i] is matrix i.
DEV void ldmatrix4(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
DEV void ldmatrix2(u32 (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}
/// The same, each matrix transposed.
DEV void ldmatrix4_trans(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
DEV void ldmatrix2_trans(u32 (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
/// D[16,8] += A[16,16]·B[16,8] in bf16.
DEV void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// D[16,8] += A[16,8]·B[8,8] in tf32, one element a register: A  a0 (r, l % 4)  a1 (r + 8, l % 4)  a2 (r, l % 4 + 4)  a3 (r + 8, l % 4 +
/// 4), B  b0 (k = l % 4, n = r)  b1 (k = l % 4 + 4, n = r).
DEV void mma_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// D[16,8] += A[16,32]·B[32,8] in int8, four a register: as bf16 with c = 4·(l % 4) and 16 columns from a0 to a2.
DEV void mma_s8(int (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#else
DEV void ldmatrix4(u32 (&r)[4], const void* row) { emulator::ldmatrix(r, row, 4, false); }
DEV void ldmatrix2(u32 (&r)[2], const void* row) { emulator::ldmatrix(r, row, 2, false); }
DEV void ldmatrix4_trans(u32 (&r)[4], const void* row) { emulator::ldmatrix(r, row, 4, true); }
DEV void ldmatrix2_trans(u32 (&r)[2], const void* row) { emulator::ldmatrix(r, row, 2, true); }
DEV void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  const u32 b[2] = {b0, b1};
  emulator::mma_bf16(d, a, b);
}
DEV void mma_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  const u32 b[2] = {b0, b1};
  emulator::mma_tf32(d, a, b);
}
DEV void mma_s8(int (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  const u32 b[2] = {b0, b1};
  emulator::mma_s8(d, a, b);
}
#endif

/// The byte of 16-byte chunk `chunk` of row `row` in a tile of 128-byte rows with the 128-byte swizzle: what the TMA writes and wgmma
/// reads; eight rows of a column lie in eight different banks of 16 bytes.
DEV u32 swizzled(u32 row, u32 chunk) { return row * 128 + ((chunk ^ (row & 7)) << 4); }

}  // namespace fedlora::cuda
