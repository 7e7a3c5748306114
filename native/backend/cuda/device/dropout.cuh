/// Dropout of an adapter's input, the CPU's draws (base/philox.h, backend/cpu/dropout.h): element e = (m − row_begin)·K + k of a segment is
/// kept when word e mod 4 of Philox counter e div 4, as a number of 24 bits, is at least p·2²⁴. Grid: a thread four elements, one counter.
#pragma once
#include "backend/cuda/device/prelude.h"
#include "base/philox.h"

namespace fedlora::cuda {

constexpr int dropout_threads = 256;

struct DropoutMask {
  u64 seed, stream;
  u32 threshold;  // ⌈p·2²⁴⌉
};

/// Philox4x32-10. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
DEV void philox(u64 key, u64 stream, u64 counter, u32 (&word)[4]) {
  u32 c0 = static_cast<u32>(counter), c1 = static_cast<u32>(counter >> 32), c2 = static_cast<u32>(stream),
      c3 = static_cast<u32>(stream >> 32), k0 = static_cast<u32>(key), k1 = static_cast<u32>(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const u64 p0 = static_cast<u64>(0xD2511F53u) * c0, p1 = static_cast<u64>(0xCD9E8D57u) * c2;
    c0 = static_cast<u32>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<u32>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<u32>(p1);
    c3 = static_cast<u32>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

/// out [rows,K] = x where it is kept, else 0; rows of out `stride` apart.
template <class T>
__global__ void __launch_bounds__(dropout_threads)
    drop_kernel(int64_t count, int64_t K, int64_t stride, DropoutMask mask, const T* x, T* out) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * dropout_threads + threadIdx.x) * 4;
  if (first >= count) return;
  u32 word[4];
  philox(mask.seed, mask.stream, static_cast<u64>(first / 4), word);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t e = first + i;
    if (e < count) store(out + e / K * stride + e % K, word[i] >> 8 >= mask.threshold ? load(x + e) : 0.0f);
  }
}

/// sum [rows,K] += part where it is kept.
__global__ void __launch_bounds__(dropout_threads) add_kept_kernel(int64_t count, DropoutMask mask, const float* part, float* sum) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * dropout_threads + threadIdx.x) * 4;
  if (first >= count) return;
  u32 word[4];
  philox(mask.seed, mask.stream, static_cast<u64>(first / 4), word);
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (first + i < count && word[i] >> 8 >= mask.threshold) sum[first + i] += part[first + i];
}

}  // namespace fedlora::cuda
