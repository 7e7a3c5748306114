/// The bytes of an encoded update, versions 1 and 2; a message has version 1 unless it needs more. Everything is little-endian; bit 0 of a
/// byte is its least significant bit.
///
///   offset  size  field
///        0     4  magic "FLUP"
///        4     1  version
///        5     1  codec: 0 f32, 1 bf16, 2 int8, 3 int4, 4 topk; from version 2 on 5 sign, 6 randk, 7 blocks, 8 lowrank
///        6     1  bits per value: 32, 16, 8, 4; topk 2, 4 or 8; sign 1; randk, blocks 32, 16, 8 or 4; lowrank 16
///        7     1  int8, int4: log2 of the block (7); sign: 9; topk: Rice parameter b, 0…31, in version 2: 0;
///                  blocks: log2 of a run, 1…20; else 0
///        8     8  n, number of elements, below 2^32
///       16     8  k, number of elements sent; n for every codec but topk, randk, blocks
///       24     8  number of body bytes
///       32     4  checksum of the body (checksum.h)
///       36     4  CRC32C of bytes 0…35
///       40        body
///
/// Body of f32:   n floats.          Body of bf16:  n bf16.
/// Body of int8:  ceil(n/128) scales, bf16; n codes, signed bytes.                     value = code · scale
/// Body of int4:  the same scales; ceil(n/2) bytes, element 2i in bits 0–3 and 2i+1 in bits 4–7, two's complement;
///                the spare nibble of an odd n is 0.
///   Block 128: the scale costs 1/8 bit per element (64: 1/4). A larger block saves at most that 1/8 bit, while its largest
///   magnitude, hence the rounding noise, grows: for normal data 2.4 σ, 2.7 σ, 3.0 σ at 64, 128, 256.
/// Body of topk, empty when k = 0; each part starts at a byte, spare bits are 0:
///   levels      2^(bits-1) magnitudes, bf16
///   values      k codes of `bits` bits: level in the low bits, sign in the top one (1 = negative)
///   remainders  k fields of b bits: gap mod 2^b                          gap = position − previous position − 1
///   quotients   for each entry gap >> b zero bits, then a one bit; ends with the byte of the last one bit
///   Gaps of random positions at density p cost about H(p)/p bits; Rice codes come within 0.1 bit of it at 1/64.
/// Body of topk in version 2, for densities up to 1/8, where that is shorter:
///   levels      as above
///   length      uint32, bytes of the plain bits
///   plain bits  for each entry its sign, then the bits of gap + 1 below the four highest
///   coded bits  for each entry its gap (gap_code.h) and the bits of its level, each behind those above it (range_coder.h)
///   Bound: random positions at density 1/64 cost H(1/64) = 0.1161 bit a value, signs 0.0156, two levels whose upper one has 12 to 24 % of
///   the entries 0.0083 to 0.0124: 0.140 to 0.144. No code can do with less where positions are independent; where the density varies
///   from tensor to tensor and row to row, as in updates of a first round, 0.137 is met.
///
/// Body of sign:  ceil(n/512) scales, bf16: the mean of |t| of the block; ceil(n/8) bytes of signs (1 = negative), spare bits 0.
/// Body of randk, blocks (which elements are sent follows from the seed: chosen_runs.h):
///   seed        uint64                          segments    uint32, how many; then for each the uint32s length and number of runs chosen
///   values      the body of the dense codec of `bits`, of k elements
///
/// Body of lowrank (low_rank.h):
///   tensors     uint32, how many; then for each the uint32s rows, columns and rank, 0: whole
///   numbers     of each tensor, bf16: P [rows, rank] and Q [columns, rank], or its values, row by row
///
/// A message is refused unless every field, length, spare bit and checksum fits the rest, every number is finite (also one step
/// beyond the largest code) and every position is below n.
#pragma once
#include <cstdint>
#include <span>

namespace fedlora {

enum class Codec : uint8_t { f32, bf16, int8, int4, topk, sign, randk, blocks, lowrank };
inline constexpr int codec_count = 9;
inline constexpr int newest_wire_version = 2;
const char* codec_name(Codec codec);

inline constexpr int64_t update_header_bytes = 40;
inline constexpr int64_t update_block_log2 = 7;
inline constexpr int64_t update_block = 1 << update_block_log2;
/// Elements that share a scale in codec sign: 1/32 bit each.
inline constexpr int64_t sign_block_log2 = 9, sign_block = 1 << sign_block_log2;
inline constexpr int run_log2_most = 20, lowrank_most = 256;
inline constexpr int64_t update_max_elements = 0xffffffff;

struct UpdateHeader {
  int version = 1;
  Codec codec = Codec::f32;
  int bits = 32;
  /// Header byte 7: log2 of the block, or the Rice parameter.
  int parameter = 0;
  int64_t count = 0;
  int64_t sent = 0;
  int64_t body_bytes = 0;
  uint32_t body_checksum = 0;
};

/// Where the parts of the body of topk in version 1 begin, in bytes from its start.
struct TopkLayout {
  int64_t values, remainders, quotients;
};
TopkLayout topk_layout(int bits, int parameter, int64_t sent);

/// Codecs that send some of the elements.
constexpr bool sends_some(Codec codec) { return codec == Codec::topk || codec == Codec::randk || codec == Codec::blocks; }
/// Of these, those whose choice follows from a seed.
constexpr bool is_chosen(Codec codec) { return codec == Codec::randk || codec == Codec::blocks; }
/// The dense codec whose values have so many bits: 32, 16, 8 or 4.
constexpr Codec dense_codec(int bits) { return bits == 32 ? Codec::f32 : bits == 16 ? Codec::bf16 : bits == 8 ? Codec::int8 : Codec::int4; }

/// Body bytes of the codecs whose size follows from n alone: f32, bf16, int8, int4, sign.
int64_t dense_body_bytes(Codec codec, int64_t count);
/// What stands before the values of randk and blocks.
constexpr int64_t chosen_prefix_bytes(int64_t segments) { return 12 + 8 * segments; }
/// What stands before the numbers of lowrank.
constexpr int64_t low_rank_prefix_bytes(int64_t tensors) { return 4 + 12 * tensors; }
inline int64_t block_count(int64_t count) { return (count + update_block - 1) / update_block; }
inline int64_t sign_block_count(int64_t count) { return (count + sign_block - 1) / sign_block; }

/// Writes the 40 bytes of the header.
void write_header(const UpdateHeader& header, uint8_t* bytes);

/// The header of a whole message, every field checked against the others and against the message's length; the body is not read.
/// Throws E_FORMAT, E_VERSION or E_CHECKSUM.
UpdateHeader read_header(std::span<const uint8_t> message);

}  // namespace fedlora
