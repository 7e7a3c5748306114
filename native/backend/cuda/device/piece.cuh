/// Neighbours of a row that a thread takes at a time: eight, one access of 16 bytes for bf16 and two for f32, which is what fills the
/// memory's lanes; or one, where a base is not aligned to 16 bytes or a length is no multiple of eight.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

constexpr int wide_piece = 8;

/// Whether all of these (null: not there) may be read in wide pieces, in rows of `length` elements one behind another.
template <class... Pointers>
bool in_wide_pieces(int64_t length, Pointers... bases) {
  return length % wide_piece == 0 && ((reinterpret_cast<uintptr_t>(bases) % 16 == 0) && ...);
}
/// body(width) with the widest pieces that fit, as a constant.
template <class Body, class... Pointers>
void by_width(const Body& body, int64_t length, Pointers... bases) {
  if (in_wide_pieces(length, bases...))
    body(std::integral_constant<int, wide_piece>());
  else
    body(std::integral_constant<int, 1>());
}

template <int Width>
struct Piece {
  float of[Width];
  DEV float& operator[](int i) { return of[i]; }
  DEV float operator[](int i) const { return of[i]; }
};

template <int Width, class T>
DEV Piece<Width> load_piece(const T* from) {
  if constexpr (Width == 1) {
    return {load(from)};
  } else if constexpr (sizeof(T) == 4) {
    const float4 low = reinterpret_cast<const float4*>(from)[0], high = reinterpret_cast<const float4*>(from)[1];
    return {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  } else {
    const uint4 pairs = *reinterpret_cast<const uint4*>(from);
    return {low_of(pairs.x), high_of(pairs.x), low_of(pairs.y), high_of(pairs.y),
            low_of(pairs.z), high_of(pairs.z), low_of(pairs.w), high_of(pairs.w)};
  }
}

template <int Width, class T>
DEV void store_piece(T* to, const Piece<Width>& v) {
  if constexpr (Width == 1) {
    store(to, v[0]);
  } else if constexpr (sizeof(T) == 4) {
    reinterpret_cast<float4*>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
  } else {
    *reinterpret_cast<uint4*>(to) = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
  }
}

/// The sum over `Group` neighbouring threads of a block, in each of them: by butterflies within a warp, then warps in order. A group is a
/// power of two of lanes, or whole warps; `shared`: as many floats as the block has warps. Every thread of the block takes part.
template <int Group>
DEV float group_sum(float value, float* shared) {
#pragma unroll
  for (int distance = (Group < 32 ? Group : 32) / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(whole_warp, value, distance);
  if constexpr (Group > 32) {
    constexpr int warps = Group / 32;
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
    __syncthreads();  // every warp's sum is there
    const float* const own = shared + threadIdx.x / Group * warps;
    value = own[0];
#pragma unroll
    for (int warp = 1; warp < warps; ++warp) value += own[warp];
  }
  return value;
}

}  // namespace fedlora::cuda
