// Decoding of the tiles and entries of a message that was checked.
#include <algorithm>
#include <cstring>

#include "compression/update_reader.h"

namespace fedlora {

void UpdateReader::scales(int64_t first_block, int64_t count, float* out) const {
  kernels_->decode_bf16(body_ + 2 * first_block, count, out);
}

TileRange UpdateReader::tile_range(int64_t tile) const {
  return header_.codec == Codec::topk ? level_range_ : ranges_[static_cast<size_t>(tile)];
}

void UpdateReader::decode(int64_t first, int64_t count, float* out) const {
  const int64_t blocks = block_count(count);
  float scales[update_tile / update_block];
  switch (header_.codec) {
    case Codec::f32:
      std::memcpy(out, body_ + 4 * first, static_cast<size_t>(count) * 4);
      return;
    case Codec::bf16:
      return kernels_->decode_bf16(body_ + 2 * first, count, out);
    case Codec::int8:
    case Codec::int4: {
      alignas(64) int8_t scratch[update_tile + 1];
      this->scales(first / update_block, blocks, scales);
      return kernels_->dequantize(codes(first, count, scratch), scales, count, out);
    }
    case Codec::sign: {
      alignas(64) float whole[update_tile];
      alignas(64) uint8_t bits[update_tile / 8] = {};
      const int64_t signs = sign_block_count(count);
      kernels_->decode_bf16(body_ + 2 * (first / sign_block), signs, scales);
      std::memcpy(bits, body_ + 2 * sign_block_count(header_.count) + first / 8, static_cast<size_t>((count + 7) / 8));
      kernels_->decode_signs(bits, scales, signs, whole);
      std::memcpy(out, whole, static_cast<size_t>(count) * 4);
      return;
    }
    case Codec::lowrank:
      return products_.decode(first, count, out, *kernels_);
    case Codec::topk:
    case Codec::randk:
    case Codec::blocks: {
      std::fill_n(out, count, 0.0f);
      alignas(64) float sent[update_tile];
      const int64_t begin = first_entry(first), end = end_entry(begin, first + count);
      entry_values(begin, end - begin, sent);
      for (int64_t e = begin; e < end; ++e) out[positions_[static_cast<size_t>(e)] - first] = sent[e - begin];
      return;
    }
  }
}

const int8_t* UpdateReader::codes(int64_t first, int64_t count, int8_t* scratch) const {
  const uint8_t* bytes = body_ + 2 * block_count(header_.count);
  if (header_.codec == Codec::int8) return reinterpret_cast<const int8_t*>(bytes + first);
  kernels_->unpack_int4(bytes + first / 2, (count + 1) / 2, scratch);
  return scratch;
}

const float* UpdateReader::values(int64_t first, int64_t count, float* scratch) const {
  const uint8_t* bytes = body_ + 4 * first;
  if (header_.codec == Codec::f32 && reinterpret_cast<uintptr_t>(bytes) % alignof(float) == 0) return reinterpret_cast<const float*>(bytes);
  decode(first, count, scratch);
  return scratch;
}

int64_t UpdateReader::first_entry(int64_t position) const {
  return std::lower_bound(positions_.begin(), positions_.end(), position,
                          [](uint32_t entry, int64_t wanted) { return static_cast<int64_t>(entry) < wanted; }) -
         positions_.begin();
}

int64_t UpdateReader::end_entry(int64_t entry, int64_t end) const {
  while (entry < header_.sent && static_cast<int64_t>(positions_[static_cast<size_t>(entry)]) < end) ++entry;
  return entry;
}

void UpdateReader::entry_values(int64_t first, int64_t count, float* out) const {
  if (is_chosen(header_.codec)) return chosen_.decode(first, count, out, *kernels_);
  if (!codes_.empty()) {
    for (int64_t e = 0; e < count; ++e) out[e] = code_values_[codes_[static_cast<size_t>(first + e)]];
    return;
  }
  const uint8_t* codes = body_ + layout_.values;
  const int bits = header_.bits;
  const unsigned mask = (1u << bits) - 1;
  int64_t at = first * bits;
  for (int64_t e = 0; e < count; ++e, at += bits) out[e] = code_values_[(codes[at >> 3] >> (at & 7)) & mask];
}

}  // namespace fedlora
