/// A frozen weight W [N, K] in its packed form: the bytes that bitsandbytes defines, so that files and memory agree.
///
///   nf4, fp4   data: two codes a byte, high nibble first, over the flattened row-major tensor; element i belongs to block i / block.
///              w_i = codebook[code_i] × absmax[i / block]                              4 + 32/block bits per weight
///   … nested   absmax_b = dynamic_map[nested_absmax[b]] × nested_scale[b / 256] + nested_offset    (two roundings, no FMA)
///              4 + 8/block + 32/(256·block) bits per weight
///   int8       data: int8 row-major; w = (q × absmax[row]) / 127                        8 + 32/K bits
///   f32, f16, bf16   data: the numbers themselves
/// Immutable once built; shared by every thread.
#pragma once
#include <cstdint>
#include <memory>

#include "base/aligned.h"
#include "quant/format.h"

namespace fedlora {

inline constexpr int nested_block = 256;

struct Matrix {
  Format format = Format::f32;
  int64_t N = 0;  // out_features (rows)
  int64_t K = 0;  // in_features (columns)
  int block = 0;  // elements that share a scale: 64 or 128 for nf4 and fp4, else 0
  AlignedBuffer<uint8_t> data;
  AlignedBuffer<float> absmax;           // flat: [ceil(N·K / block)]; int8: [N]; empty when nested
  AlignedBuffer<uint8_t> nested_absmax;  // [ceil(N·K / block)] when nested, else empty
  AlignedBuffer<float> nested_scale;     // [ceil(blocks / 256)]
  float nested_offset = 0;
  /// A backend's own form of it, which took the place of the arrays above; its bytes.
  std::shared_ptr<const void> resident;
  size_t resident_bytes = 0;

  bool nested() const { return !nested_absmax.empty(); }
  int64_t elements() const { return N * K; }
  int64_t blocks() const { return block == 0 ? 0 : (elements() + block - 1) / block; }
  size_t bytes() const { return data.bytes() + absmax.bytes() + nested_absmax.bytes() + nested_scale.bytes() + resident_bytes; }
};

}  // namespace fedlora
