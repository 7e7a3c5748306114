/// Where the parts of lora_linear's workspace lie. With `base` null it only counts.
#pragma once
#include <algorithm>

#include "backend/cuda/heuristics/slices.h"
#include "backend/cuda/launch/decode_weight.h"
#include "backend/cuda/launch/lora_linear.h"
#include "backend/cuda/launch/narrow_product.h"

namespace fedlora::cuda {

/// Pitch of a cast factor: pieces of 16 bytes.
constexpr int64_t pitch_of(int64_t columns) { return (columns + 7) / 8 * 8; }

inline constexpr int most_targets = 3;

struct LoraWorkspace {
  struct Target {
    void* W = nullptr;                        // decoded [N,K]
    void *A = nullptr, *B = nullptr;          // cast factors [R, pitch(K)], [N, pitch(R)]; in backward Bᵀ [R, pitch(N)]
    void *A_res = nullptr, *B_res = nullptr;  // [P, pitch(K)], [N, pitch(P)]; in backward B_resᵀ [P, pitch(N)]
    void *d_h = nullptr, *through = nullptr;  // [rows, pitch(R)] of backward; [rows, pitch(P)] x·A_resᵀ or d_y·B_res
    // Parts of sums, f32: slices of h or d_h and of `through`; of d_A and d_B.
    float *of_h = nullptr, *of_through = nullptr, *of_A = nullptr, *of_B = nullptr;
  } targets[most_targets];
  void* masked = nullptr;                 // [rows, pitch(K)] drop(x)
  float *sum = nullptr, *part = nullptr;  // f32 [rows, K] of d_x with dropout
  size_t bytes = 0;

  LoraWorkspace(Direction direction, View<const TargetView> list, View<const SegmentView> segments, Element element, void* base) {
    const auto take = [&](int64_t size) {
      void* const place = base == nullptr ? nullptr : static_cast<char*>(base) + bytes;
      bytes += static_cast<size_t>((size + 255) / 256 * 256);
      return place;
    };
    const int64_t width = width_of(element), K = list.size > 0 ? list[0].W->K : 0;
    const auto take_parts = [&](size_t size) { return static_cast<float*>(take(static_cast<int64_t>(size))); };
    int64_t rows = 0;
    bool dropout = false;
    for (const SegmentView& segment : segments) rows = std::max(rows, segment.row_end - segment.row_begin);
    for (int64_t t = 0; t < list.size; ++t) {
      const int64_t N = list[t].W->N;
      int64_t R = 0, P = 0;
      for (const SegmentView& segment : segments) {
        R = std::max<int64_t>(R, segment.pairs[t].rank);
        P = std::max<int64_t>(P, segment.pairs[t].frozen.rank);
        dropout = dropout || (segment.pairs[t].rank > 0 && segment.pairs[t].dropout > 0);
      }
      const int64_t depth = direction == Direction::forward ? K : N, slices = slices_of(rows);
      Target& target = targets[t];
      target.W = take(decoded_bytes(*list[t].W, element));
      target.A = take(R * pitch_of(K) * width);
      target.B = take((direction == Direction::forward ? N * pitch_of(R) : R * pitch_of(N)) * width);
      target.A_res = take(P * pitch_of(K) * width);
      target.B_res = take((direction == Direction::forward ? N * pitch_of(P) : P * pitch_of(N)) * width);
      target.through = take(rows * pitch_of(P) * width);
      if (element == Element::bf16) {
        target.of_h = take_parts(narrow_partial_bytes(rows, R, depth));
        target.of_through = take_parts(narrow_partial_bytes(rows, P, depth));
      }
      if (direction == Direction::forward) continue;
      target.d_h = take(rows * pitch_of(R) * width);
      target.of_A = static_cast<float*>(take(slices * R * K * 4));
      target.of_B = static_cast<float*>(take(slices * N * R * 4));
    }
    if (dropout) masked = take(rows * pitch_of(K) * width);
    if (direction == Direction::forward) return;
    if (dropout) {
      sum = static_cast<float*>(take(rows * K * 4));
      part = static_cast<float*>(take(rows * K * 4));
    }
  }
};

}  // namespace fedlora::cuda
