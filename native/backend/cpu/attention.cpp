/// Attention over packed sequences. Work is split so that no sum crosses a task:
///   forward   keys and values are packed a block a task, then one task a (sequence, head, block of queries)
///   backward  one task a (sequence, head), which writes its share of d_k and d_v in f32; then each kv head sums its query heads in order.
///             The heads that would leave threads idle at the end are two tasks, each with the keys of about half of the work
///   decode    one task a head
/// Long tasks go first, so that the team finishes together. Blocks count from a sequence's first row: packing never changes a bit.
#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

namespace {
struct Sequences {
  explicit Sequences(std::span<const int64_t> offsets) : offsets(offsets), by_length(offsets.empty() ? 0 : offsets.size() - 1) {
    std::iota(by_length.begin(), by_length.end(), 0);
    std::stable_sort(by_length.begin(), by_length.end(), [&](int64_t a, int64_t b) { return length(a) > length(b); });
  }
  int64_t begin(int64_t sequence) const { return offsets[static_cast<size_t>(sequence)]; }
  int64_t length(int64_t sequence) const { return offsets[static_cast<size_t>(sequence) + 1] - begin(sequence); }
  int64_t blocks(int64_t sequence) const { return (length(sequence) + attention_block - 1) / attention_block; }
  int64_t longest() const { return by_length.empty() ? 0 : length(by_length[0]); }

  std::span<const int64_t> offsets;
  std::vector<int64_t> by_length;
};

float slope_of(const AttentionShape& shape, int64_t head) { return shape.slopes == nullptr ? 0 : shape.slopes[head]; }

/// The keys whose backward is about half of the work, in whole blocks: pairs of blocks are counted. Short rows are one piece.
int64_t middle_of_keys(int64_t length, int64_t window) {
  const int64_t blocks = (length + attention_block - 1) / attention_block;
  if (blocks < 4) return length;
  const int64_t reach = window > 0 ? (window + attention_block - 1) / attention_block + 1 : blocks;
  int64_t all = 0, done = 0, middle = 0;
  for (int64_t block = 0; block < blocks; ++block) all += std::min(blocks - block, reach);
  while (2 * done < all) done += std::min(blocks - middle++, reach);
  return std::min(middle * attention_block, length);
}

/// One head of one sequence: takes what is left of Σ_j d_s_ij from the d_s of the key that has more than half of row i:
///   r = Σ_j d_s_ij    d_q_i −= scale·r·k_j    d_k_j −= scale·r·q_i
/// q, d_q and d_k have the same row stride. Rows from `middle` on have keys in both halves.
void balance(std::array<const float*, 2> residual, std::array<const float*, 2> majority, int64_t length, int64_t middle, int64_t D,
             float scale, const float* q, float* d_q, int64_t stride, const float* k, int64_t kv_stride, float* d_k) {
  for (int64_t i = 0; i < length; ++i) {
    const bool both = i >= middle;
    const float key = both ? std::max(majority[0][i], majority[1][i]) : majority[0][i];
    if (key < 0) continue;
    const float rest = both ? residual[0][i] + residual[1][i] : residual[0][i];
    const int64_t j = static_cast<int64_t>(key);
    for (int64_t d = 0; d < D; ++d) {
      d_q[i * stride + d] -= rest * k[j * kv_stride + d] * scale;
      d_k[j * stride + d] -= rest * q[i * stride + d] * scale;
    }
  }
}

/// A block of one head (or kv head) of one sequence.
struct BlockTask {
  int64_t sequence, head, block;
};
}  // namespace

void CpuBackend::attention_forward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                                   ConstActivation v, Activation o, float* lse) {
  const Sequences sequences(offsets);
  const int64_t H = shape.heads, G = shape.kv_heads, D = shape.head_dim;

  typed([&]<class T>(const TypedKernels<T>& kernels) {
    const auto keys_bytes = kernels.attention_keys_bytes;
    const auto values_bytes = kernels.attention_values_bytes;
    std::vector<int64_t> packed_at(sequences.by_length.size());  // where a sequence's kv heads start
    std::vector<BlockTask> packs, tasks;
    int64_t packed_bytes = 0;
    for (int64_t sequence : sequences.by_length) {
      packed_at[static_cast<size_t>(sequence)] = packed_bytes;
      packed_bytes += G * (keys_bytes(sequences.length(sequence), D) + values_bytes(sequences.length(sequence), D));
      for (int64_t block = sequences.blocks(sequence); block-- > 0;) {
        for (int64_t g = 0; g < G; ++g) packs.push_back({sequence, g, block});
        for (int64_t h = 0; h < H; ++h) tasks.push_back({sequence, h, block});
      }
    }
    // The last block of queries of a sequence sees the most keys.
    std::stable_sort(tasks.begin(), tasks.end(), [](const BlockTask& a, const BlockTask& b) { return a.block > b.block; });
    Scratch& packed = slot(Slot::attention_packed);
    packed.reserve(1, static_cast<size_t>(packed_bytes));
    Scratch& own = slot(Slot::attention);
    own.reserve(threads(), static_cast<size_t>(kernels.attention_forward_scratch(D)));
    const auto keys_of = [&](int64_t sequence, int64_t g) {
      const int64_t length = sequences.length(sequence);
      return packed.get<char>() + packed_at[static_cast<size_t>(sequence)] + g * (keys_bytes(length, D) + values_bytes(length, D));
    };

    pool_.run(static_cast<int64_t>(packs.size()), [&](int64_t index, int) {
      const auto [sequence, g, block] = packs[static_cast<size_t>(index)];
      const int64_t length = sequences.length(sequence), at = (sequences.begin(sequence) * G + g) * D;
      char* keys = keys_of(sequence, g);
      char* values = keys + keys_bytes(length, D);
      kernels.attention_pack(as<T>(k, at), as<T>(v, at), G * D, length, block, D, keys, values);
    });
    pool_.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int member) {
      const auto [sequence, h, block] = tasks[static_cast<size_t>(index)];
      AttentionForwardTask<T> task;
      task.length = sequences.length(sequence);
      task.begin = block * attention_block;
      task.rows = std::min(attention_block, task.length - task.begin);
      const int64_t row = sequences.begin(sequence) + task.begin, at = (row * H + h) * D;
      const char* keys = keys_of(sequence, h / (H / G));
      task.q = as<T>(q, at);
      task.o = as<T>(o, at);
      task.q_stride = task.o_stride = H * D;
      task.keys = keys;
      task.values = keys + keys_bytes(task.length, D);
      task.head_dim = D;
      task.window = shape.window;
      task.scale = shape.scale;
      task.soft_cap = shape.soft_cap;
      task.slope = slope_of(shape, h);
      task.lse = lse + 2 * (row * H + h);
      task.lse_stride = 2 * H;
      task.scratch = own.get<char>(member);
      kernels.attention_forward(&task);
    });
  });
}

void CpuBackend::attention_backward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                                    ConstActivation v, ConstActivation o, const float* lse, ConstActivation d_o, Activation d_q,
                                    Activation d_k, Activation d_v) {
  const Sequences sequences(offsets);
  const int64_t H = shape.heads, G = shape.kv_heads, D = shape.head_dim, M = offsets.empty() ? 0 : offsets.back(), group = H / G;
  const int64_t heads = static_cast<int64_t>(sequences.by_length.size()) * H;  // of all sequences
  const int64_t divided = heads < 8 * threads() ? heads % threads() : 0;       // the last ones, two tasks each
  const int64_t share_floats = sequences.longest() * D;
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    constexpr bool exact = sizeof(T) == 4;  // f32 scores are balanced
    // d_k and d_v of every query head, [M,H,D] each; halves of d_q of the divided ones; what balance needs, [M,H] by halves
    Scratch& shares = slot(Slot::attention_packed);
    shares.reserve(1, static_cast<size_t>(2 * M * H * D + 2 * divided * share_floats + (exact ? 4 * M * H : 0)) * sizeof(float));
    float* shares_k = shares.get<float>();
    float* shares_v = shares_k + M * H * D;
    float* shares_q = shares_v + M * H * D;
    float* rests = shares_q + 2 * divided * share_floats;
    Scratch& own = slot(Slot::attention);
    own.reserve(threads(), static_cast<size_t>(kernels.attention_backward_scratch(sequences.longest(), D)));
    const auto place = [&](int64_t head) {  // sequence, head within it, element of its first row
      const int64_t sequence = sequences.by_length[static_cast<size_t>(head / H)], h = head % H;
      return std::tuple(sequence, h, (sequences.begin(sequence) * H + h) * D);
    };

    pool_.run(heads + divided, [&](int64_t index, int member) {
      const int64_t whole = heads - divided, piece = index - whole, head = index < whole ? index : whole + piece / 2;
      const auto [sequence, h, at] = place(head);
      const int64_t row = sequences.begin(sequence), at_kv = (row * G + h / group) * D, length = sequences.length(sequence);
      AttentionBackwardTask<T> task;
      task.key_middle = middle_of_keys(length, shape.window);
      task.key_begin = index < whole || piece % 2 == 0 ? 0 : task.key_middle;
      task.key_end = index < whole || piece % 2 == 1 ? length : task.key_middle;
      if (task.key_begin == task.key_end) return;
      task.d_q = index < whole ? as<T>(d_q, at) : nullptr;
      task.d_q_share = index < whole ? nullptr : shares_q + piece * share_floats;
      task.q = as<T>(q, at);
      task.o = as<T>(o, at);
      task.d_o = as<T>(d_o, at);
      task.q_stride = H * D;
      task.k = as<T>(k, at_kv);
      task.v = as<T>(v, at_kv);
      task.kv_stride = G * D;
      task.d_k = shares_k + at;
      task.d_v = shares_v + at;
      task.d_kv_stride = H * D;
      task.lse = lse + 2 * (row * H + h);
      task.lse_stride = 2 * H;
      for (int half = 0; half < 2; ++half) {
        task.residual[half] = rests + half * M * H + row * H + h * length;
        task.majority[half] = rests + (2 + half) * M * H + row * H + h * length;
      }
      task.length = length;
      task.head_dim = D;
      task.window = shape.window;
      task.scale = shape.scale;
      task.soft_cap = shape.soft_cap;
      task.slope = slope_of(shape, h);
      task.sum_delta = shape.sum_delta;
      task.scratch = own.get<char>(member);
      kernels.attention_backward(&task);
    });
    pool_.run(divided, [&](int64_t i, int) {
      const auto [sequence, h, at] = place(heads - divided + i);
      const int64_t length = sequences.length(sequence), middle = middle_of_keys(length, shape.window);
      const float* halves = shares_q + 2 * i * share_floats;
      for (int64_t row = 0; row < length; ++row)
        kernels.sum_rows(row < middle ? 1 : 2, D, halves + row * D, share_floats, as<T>(d_q, at + row * H * D));
    });
    if constexpr (exact)
      pool_.run(heads, [&](int64_t head, int) {
        const auto [sequence, h, at] = place(head);
        const int64_t row = sequences.begin(sequence), length = sequences.length(sequence), at_kv = (row * G + h / group) * D;
        const float* rest = rests + row * H + h * length;
        balance({rest, rest + M * H}, {rest + 2 * M * H, rest + 3 * M * H}, length, middle_of_keys(length, shape.window), D, shape.scale,
                as<float>(q, at), as<float>(d_q, at), H * D, as<float>(k, at_kv), G * D, shares_k + at);
      });
    each_rows(pool_, M, 2 * H * D, [&](int64_t first, int64_t count) {
      for (int64_t i = first * G; i < (first + count) * G; ++i) {  // one row of one kv head: its query heads are neighbours
        kernels.sum_rows(group, D, shares_k + i * group * D, D, as<T>(d_k, i * D));
        kernels.sum_rows(group, D, shares_v + i * group * D, D, as<T>(d_v, i * D));
      }
    });
  });
}

void CpuBackend::attention_decode(const AttentionShape& shape, int64_t T, ConstActivation q, ConstActivation keys, ConstActivation values,
                                  Activation o) {
  const int64_t H = shape.heads, G = shape.kv_heads, D = shape.head_dim,
                first = shape.window > 0 ? std::max<int64_t>(0, T - shape.window) : 0;
  Scratch& own = slot(Slot::attention);
  own.reserve(threads(), static_cast<size_t>(T - first + D) * sizeof(float));
  typed([&]<class Element>(const TypedKernels<Element>& kernels) {
    pool_.run(H, [&](int64_t h, int member) {
      const int64_t at = (first * G + h / (H / G)) * D;
      AttentionDecodeTask<Element> task;
      task.q = as<Element>(q, h * D);
      task.keys = as<Element>(keys, at);
      task.values = as<Element>(values, at);
      task.o = as<Element>(o, h * D);
      task.kv_stride = G * D;
      task.length = T - first;
      task.head_dim = D;
      task.scale = shape.scale;
      task.soft_cap = shape.soft_cap;
      task.slope = slope_of(shape, h);
      task.scratch = own.get<float>(member);
      kernels.attention_decode(&task);
    });
  });
}

}  // namespace fedlora
