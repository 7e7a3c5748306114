#include "backend/cuda/launch/lora_linear.h"

#include <cmath>
#include <functional>

#include "backend/cuda/device/dropout.cuh"
#include "backend/cuda/device/lora.cuh"
#include "backend/cuda/launch/gemm.h"
#include "backend/cuda/launch/lora_workspace.h"
#include "backend/cuda/launch/narrow_product.h"
#include "backend/cuda/launch/small_tasks.h"

namespace fedlora::cuda {

namespace {

unsigned blocks_of(int64_t count, int64_t each) { return static_cast<unsigned>((count + each - 1) / each); }

float kept_factor(const LoraPair& pair) { return pair.dropout > 0 ? 1.0f / (1.0f - pair.dropout) : 1.0f; }
DropoutMask mask_of(const LoraPair& pair) {
  return {pair.dropout_seed, pair.dropout_stream, static_cast<u32>(std::ceil(static_cast<double>(pair.dropout) * 0x1p24))};
}

/// One call: what all of its products share.
struct Call {
  const Queue& queue;
  Element element;
  int64_t M, K;
  const void* x;
  View<const TargetView> targets;
  const LoraWorkspace& space;
  Direction direction;
  const void* W[most_targets];

  Call(const Queue& queue, Element element, int64_t M, const void* x, View<const TargetView> targets, const LoraWorkspace& space,
       Direction direction)
      : queue(queue), element(element), M(M), K(targets[0].W->K), x(x), targets(targets), space(space), direction(direction) {
    for (int64_t t = 0; t < targets.size; ++t) W[t] = decode_weight(queue, *targets[t].W, element, space.targets[t].W);
  }

  /// Row `row` of a matrix of activations.
  template <class Pointer>
  Pointer row_of(Pointer matrix, int64_t row, int64_t stride) const {
    using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const char, char>;
    return static_cast<Byte*>(matrix) + row * stride * width_of(element);
  }
  /// out [rows, R], rows `out_stride` apart, = left [rows, depth]·right [R, depth]ᵀ, for a rank R: at once, or in `parts` that a task is to
  /// join.
  void narrow(int64_t rows, int64_t R, int64_t depth, const void* left, int64_t left_stride, const void* right, void* out,
              int64_t out_stride, float* parts, TaskList<JoinTask>& joins) const {
    if (R == 0) return;
    if (element == Element::f32) {
      const Product product{left, left_stride, right, pitch_of(depth), depth, Right::rows};
      gemm(queue, element, element, rows, R, {&product, 1}, {out, out_stride, 1, nullptr});
      return;
    }
    narrow_product(queue, rows, R, depth, left, left_stride, right, pitch_of(depth), parts);
    joins.add({rows, R, static_cast<int>(slices_of(depth)), parts, out, out_stride, false, 1});
  }
  /// The factors of a segment's pairs as the products of this call read them: in backward B turned, for along a row runs what they sum
  /// over.
  void cast_factors(const SegmentView& segment) const {
    TaskList<CastTask> tasks;
    const auto add = [&](int64_t rows, int64_t columns, bool turned, float factor, const float* from, void* out) {
      if (rows > 0 && columns > 0) tasks.add({rows, columns, pitch_of(columns), factor, turned, from, out});
    };
    const auto add_up = [&](int64_t N, int64_t R, float factor, const float* from, void* out) {
      if (direction == Direction::forward)
        add(N, R, false, factor, from, out);
      else
        add(R, N, true, factor, from, out);
    };
    for (int64_t t = 0; t < targets.size; ++t) {
      const LoraPair& pair = segment.pairs[t];
      if (pair.rank == 0) continue;
      const int64_t N = targets[t].W->N;
      const LoraWorkspace::Target& place = space.targets[t];
      add(pair.rank, K, false, kept_factor(pair), pair.A, place.A);
      add_up(N, pair.rank, pair.scaling, pair.B, place.B);
      add(pair.frozen.rank, K, false, 1, pair.frozen.A, place.A_res);
      add_up(N, pair.frozen.rank, pair.scaling, pair.frozen.B, place.B_res);
    }
    cast_all(queue, element, tasks);
  }
  /// drop(x) of a segment without the factor 1 / (1 − p); its row stride.
  const void* dropped(const LoraPair& pair, const void* rows_of_x, int64_t rows, int64_t* stride) const {
    *stride = K;
    if (pair.dropout <= 0) return rows_of_x;
    *stride = pitch_of(K);
    by_element(element, [&](auto zero) {
      using T = decltype(zero);
      FED_LAUNCH(drop_kernel<T>, dim3(blocks_of(rows * K, 4 * dropout_threads)), dim3(dropout_threads), 0, queue.stream, rows * K, K,
                 *stride, mask_of(pair), static_cast<const T*>(rows_of_x), static_cast<T*>(space.masked));
    });
    return space.masked;
  }
  /// out [P,Q] += factor · leftᵀ·right over `rows` rows, once the task is done.
  void add_row_sums(int64_t rows, int64_t P, int64_t Q, const void* left, int64_t left_stride, const void* right, int64_t right_stride,
                    float factor, float* parts, float* out, TaskList<JoinTask>& joins) const {
    const int64_t slices = slices_of(rows);
    const dim3 grid(blocks_of(Q, RowSum::side), blocks_of(P, RowSum::side), static_cast<unsigned>(slices));
    if (element == Element::bf16)
      narrow_row_sums(queue, rows, slice_of(rows), P, Q, left, left_stride, right, right_stride, parts);
    else
      FED_LAUNCH(row_sum_kernel, grid, dim3(RowSum::threads), RowSum::shared_bytes, queue.stream, rows, slice_of(rows), P, Q,
                 static_cast<const float*>(left), left_stride, static_cast<const float*>(right), right_stride, parts);
    joins.add({P, Q, static_cast<int>(slices), parts, out, Q, true, factor});
  }
};

/// body(begin, end, segment or null) for every run of rows that has the same adapter, or none.
void each_run(int64_t M, View<const SegmentView> segments, const std::function<void(int64_t, int64_t, const SegmentView*)>& body) {
  int64_t at = 0;
  for (const SegmentView& segment : segments) {
    if (segment.row_begin > at) body(at, segment.row_begin, nullptr);
    if (segment.row_end > segment.row_begin) body(segment.row_begin, segment.row_end, &segment);
    at = segment.row_end;
  }
  if (M > at) body(at, M, nullptr);
}

/// A run of rows, forward: what passes through the adapters of all targets, then each target's sum.
void forward_run(const Call& call, int64_t begin, int64_t end, const SegmentView* segment) {
  const int64_t rows = end - begin, K = call.K;
  const void* const x = call.row_of(call.x, begin, K);
  const auto h_of = [&](int64_t t) { return call.row_of(call.targets[t].h, begin, call.targets[t].h_stride); };
  if (segment != nullptr) {
    call.cast_factors(*segment);
    TaskList<JoinTask> joins;
    for (int64_t t = 0; t < call.targets.size; ++t) {
      const LoraPair& pair = segment->pairs[t];
      const LoraWorkspace::Target& place = call.space.targets[t];
      if (pair.rank == 0) continue;
      int64_t stride;
      const void* const dropped = call.dropped(pair, x, rows, &stride);
      call.narrow(rows, pair.rank, K, dropped, stride, place.A, h_of(t), call.targets[t].h_stride, place.of_h, joins);
      call.narrow(rows, pair.frozen.rank, K, x, K, place.A_res, place.through, pitch_of(pair.frozen.rank), place.of_through, joins);
    }
    join_all(call.queue, joins);
  }
  for (int64_t t = 0; t < call.targets.size; ++t) {
    const TargetView& target = call.targets[t];
    const LoraWorkspace::Target& place = call.space.targets[t];
    const int64_t N = target.W->N, R = segment == nullptr ? 0 : segment->pairs[t].rank, P = R == 0 ? 0 : segment->pairs[t].frozen.rank;
    Product products[3] = {{x, K, call.W[t], K, K, Right::rows}};
    size_t count = 1;
    if (R > 0) products[count++] = {h_of(t), target.h_stride, place.B, pitch_of(R), R, Right::rows};
    if (P > 0) products[count++] = {place.through, pitch_of(P), place.B_res, pitch_of(P), P, Right::rows};
    gemm(call.queue, call.element, call.element, rows, N, {products, count}, {call.row_of(target.y, begin, N), N, 1, target.bias});
  }
}

/// What backward makes of a segment's pairs: d_h and d_y·B_res of all targets, then d_A and d_B.
void backward_pairs(const Call& call, const SegmentView& segment, bool d_x_wanted) {
  const int64_t begin = segment.row_begin, rows = segment.row_end - begin, K = call.K;
  call.cast_factors(segment);
  TaskList<JoinTask> through, gradients;
  for (int64_t t = 0; t < call.targets.size; ++t) {
    const LoraPair& pair = segment.pairs[t];
    const TargetView& target = call.targets[t];
    const LoraWorkspace::Target& place = call.space.targets[t];
    const int64_t N = target.W->N, R = pair.rank, P = pair.frozen.rank;
    if (R == 0) continue;
    const void* const d_y = call.row_of(target.d_y, begin, N);
    if (pair.d_B != nullptr)
      call.add_row_sums(rows, N, R, d_y, N, call.row_of(target.h, begin, target.h_stride), target.h_stride, pair.scaling, place.of_B,
                        pair.d_B, gradients);
    if (pair.d_A != nullptr || d_x_wanted) call.narrow(rows, R, N, d_y, N, place.B, place.d_h, pitch_of(R), place.of_h, through);
    if (d_x_wanted) call.narrow(rows, P, N, d_y, N, place.B_res, place.through, pitch_of(P), place.of_through, through);
  }
  join_all(call.queue, through);
  for (int64_t t = 0; t < call.targets.size; ++t) {
    const LoraPair& pair = segment.pairs[t];
    const LoraWorkspace::Target& place = call.space.targets[t];
    if (pair.rank == 0 || pair.d_A == nullptr) continue;
    int64_t stride;
    const void* const dropped = call.dropped(pair, call.row_of(call.x, begin, K), rows, &stride);
    call.add_row_sums(rows, pair.rank, K, place.d_h, pitch_of(pair.rank), dropped, stride, kept_factor(pair), place.of_A, pair.d_A,
                      gradients);
  }
  join_all(call.queue, gradients);
}

/// d_x of a run of rows: one sum over all targets, but for what dropout masks, which is added in f32 before d_x is rounded.
void backward_input(const Call& call, int64_t begin, int64_t end, const SegmentView* segment, void* d_x) {
  const int64_t rows = end - begin, K = call.K;
  Product products[most_products];
  size_t count = 0;
  bool masked = false;
  for (int64_t t = 0; t < call.targets.size; ++t) {
    const TargetView& target = call.targets[t];
    const LoraWorkspace::Target& place = call.space.targets[t];
    const int64_t N = target.W->N;
    products[count++] = {call.row_of(target.d_y, begin, N), N, call.W[t], K, N, Right::columns};
    if (segment == nullptr || segment->pairs[t].rank == 0) continue;
    const LoraPair& pair = segment->pairs[t];
    if (pair.dropout > 0)
      masked = true;
    else
      products[count++] = {place.d_h, pitch_of(pair.rank), place.A, pitch_of(K), pair.rank, Right::columns};
    if (pair.frozen.rank > 0)
      products[count++] = {place.through, pitch_of(pair.frozen.rank), place.A_res, pitch_of(K), pair.frozen.rank, Right::columns};
  }
  void* const out = call.row_of(d_x, begin, K);
  if (!masked) {
    gemm(call.queue, call.element, call.element, rows, K, {products, count}, {out, K, 1, nullptr});
    return;
  }
  gemm(call.queue, call.element, Element::f32, rows, K, {products, count}, {call.space.sum, K, 1, nullptr});
  for (int64_t t = 0; t < call.targets.size; ++t) {
    const LoraPair& pair = segment->pairs[t];
    if (pair.rank == 0 || pair.dropout <= 0) continue;
    const Product product{call.space.targets[t].d_h, pitch_of(pair.rank), call.space.targets[t].A, pitch_of(K), pair.rank, Right::columns};
    gemm(call.queue, call.element, Element::f32, rows, K, {&product, 1}, {call.space.part, K, 1, nullptr});
    FED_LAUNCH(add_kept_kernel, dim3(blocks_of(rows * K, 4 * dropout_threads)), dim3(dropout_threads), 0, call.queue.stream, rows * K,
               mask_of(pair), call.space.part, call.space.sum);
  }
  by_element(call.element, [&](auto zero) {
    using T = decltype(zero);
    FED_LAUNCH(round_kernel<T>, dim3(blocks_of(rows * K, round_threads)), dim3(round_threads), 0, call.queue.stream, rows * K,
               call.space.sum, static_cast<T*>(out));
  });
}

}  // namespace

size_t lora_linear_workspace(Direction direction, View<const TargetView> targets, View<const SegmentView> segments, Element element) {
  return LoraWorkspace(direction, targets, segments, element, nullptr).bytes;
}

void lora_linear_forward(const Queue& queue, int64_t M, const void* x, View<const TargetView> targets, View<const SegmentView> segments,
                         Element element, void* workspace) {
  if (M == 0 || targets.size == 0) return;
  const LoraWorkspace space(Direction::forward, targets, segments, element, workspace);
  const Call call(queue, element, M, x, targets, space, Direction::forward);
  each_run(M, segments, [&](int64_t begin, int64_t end, const SegmentView* segment) { forward_run(call, begin, end, segment); });
}

void lora_linear_backward(const Queue& queue, int64_t M, const void* x, View<const TargetView> targets, View<const SegmentView> segments,
                          void* d_x, Element element, void* workspace) {
  if (M == 0 || targets.size == 0) return;
  const LoraWorkspace space(Direction::backward, targets, segments, element, workspace);
  const Call call(queue, element, M, x, targets, space, Direction::backward);
  each_run(M, segments, [&](int64_t begin, int64_t end, const SegmentView* segment) {
    if (segment != nullptr) backward_pairs(call, *segment, d_x != nullptr);
    if (d_x != nullptr) backward_input(call, begin, end, segment, d_x);
  });
}

}  // namespace fedlora::cuda
