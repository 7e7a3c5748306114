/// An aggregator's exact sums as bytes: several machines add parts of a round, and merging their sums, in any tree, gives the bits of one
/// machine that added everything. All numbers little-endian.
///
///   header   56 bytes, PartialHeader
///   body     for each tile of update_tile elements: TileHeader, then the words of its form
///              single   low  i64 × elements
///              pair     low  i64 × elements, high i64 × elements
///              wide     7 × u64 an element
///              empty    nothing
///
/// Size: 8 bytes an element for updates of ordinary range. The checksum finds damage, not lies: whoever sends partial sums is trusted as
/// far as what it was given to add; nothing that bytes can say makes reading them unsafe.
#pragma once
#include <cstdint>

namespace fedlora {

inline constexpr char partial_magic[4] = {'F', 'L', 'P', 'S'};
inline constexpr uint32_t partial_version = 1;

struct PartialHeader {
  char magic[4];
  uint32_t version;
  uint64_t length;      // elements
  uint64_t received;    // updates
  uint64_t weight_low;  // sum of weights in units of 2^-48, 128 bits
  uint64_t weight_high;
  uint64_t body_bytes;
  uint32_t body_checksum;    // compression/checksum.h
  uint32_t header_checksum;  // of the bytes before it
};
static_assert(sizeof(PartialHeader) == 56);

/// What a tile's words mean: tile_sum.h.
struct TileHeader {
  int32_t form;
  int32_t unit;
  double magnitude;
  int32_t lowest_bit;
  int32_t zero;
  int64_t products;
};
static_assert(sizeof(TileHeader) == 32);

}  // namespace fedlora
