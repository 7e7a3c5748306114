#include "masking/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "masking/kernels.h"

namespace fedlora {

namespace {
/// Values of a task; their codes lie in the first-level cache.
constexpr int64_t tile = 2048;

void check_grid(const Grid& grid) {
  if (!(grid.clip > 0 && std::isfinite(2 * grid.clip))) fail(Code::E_ARGUMENT, "clip is %g, expected a finite number above 0", grid.clip);
  if (grid.bits < 1 || grid.bits > 24) fail(Code::E_ARGUMENT, "bits is %d, expected 1 to 24", grid.bits);
}

void check_words(size_t bytes, int word_bytes, size_t count) {
  if (word_bytes != 2 && word_bytes != 4) fail(Code::E_ARGUMENT, "a masked word has %d bytes, expected 2 or 4", word_bytes);
  if (bytes != count * static_cast<size_t>(word_bytes))
    fail(Code::E_SHAPE, "%zu bytes of words, expected %zu for %zu values", bytes, count * static_cast<size_t>(word_bytes), count);
}

/// Calls work(begin, end) for tiles of `count` values.
template <class Work>
void for_tiles(int64_t count, ThreadPool* pool, const Work& work) {
  run_tasks(pool, (count + tile - 1) / tile, [&](int64_t task, int) { work(task * tile, std::min(count, (task + 1) * tile)); });
}

template <class Word>
void put(const uint32_t* q, int64_t count, uint32_t weight, uint8_t* words) {
  for (int64_t i = 0; i < count; ++i) {
    const Word word = static_cast<Word>(q[i] * weight);
    std::memcpy(words + i * static_cast<int64_t>(sizeof word), &word, sizeof word);
  }
}

template <class Word, class T>
void read(const uint8_t* sums, int64_t count, const Grid& grid, double total, T* mean) {
  for (int64_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, sums + i * static_cast<int64_t>(sizeof word), sizeof word);
    mean[i] = static_cast<T>(static_cast<double>(word) / total * (2 * grid.clip) / grid.top() - grid.clip);
  }
}
}  // namespace

void quantize_weighted(std::span<const float> values, const Grid& grid, uint64_t weight, const Draws& draws, int word_bytes,
                       std::span<uint8_t> words, ThreadPool* pool) {
  check_grid(grid);
  check_words(words.size(), word_bytes, values.size());
  const uint64_t most = ((uint64_t{1} << (8 * word_bytes)) - 1) / static_cast<uint64_t>(grid.top());
  if (weight < 1 || weight > most)
    fail(Code::E_ARGUMENT, "a weight of %llu at %d bits in words of %d bytes, expected 1 to %llu", static_cast<unsigned long long>(weight),
         grid.bits, word_bytes, static_cast<unsigned long long>(most));
  for (size_t i = 0; i < values.size(); ++i)
    if (std::isnan(values[i])) fail(Code::E_NONFINITE, "value %zu of the update is not a number", i);
  const MaskingKernels& kernels = masking_kernels();
  for_tiles(static_cast<int64_t>(values.size()), pool, [&](int64_t begin, int64_t end) {
    uint32_t q[tile];
    kernels.quantize(values.data() + begin, end - begin, grid, draws, static_cast<uint64_t>(begin), q);
    (word_bytes == 2 ? put<uint16_t> : put<uint32_t>)(q, end - begin, static_cast<uint32_t>(weight), words.data() + begin * word_bytes);
  });
}

template <class T>
void dequantize_mean(std::span<const uint8_t> sums, int word_bytes, const Grid& grid, double total, std::span<T> mean, ThreadPool* pool) {
  check_grid(grid);
  check_words(sums.size(), word_bytes, mean.size());
  if (!(total > 0)) fail(Code::E_ARGUMENT, "the weights of a mean sum to %g, expected more than 0", total);
  for_tiles(static_cast<int64_t>(mean.size()), pool, [&](int64_t begin, int64_t end) {
    (word_bytes == 2 ? read<uint16_t, T> : read<uint32_t, T>)(sums.data() + begin * word_bytes, end - begin, grid, total,
                                                              mean.data() + begin);
  });
}

template void dequantize_mean(std::span<const uint8_t>, int, const Grid&, double, std::span<float>, ThreadPool*);
template void dequantize_mean(std::span<const uint8_t>, int, const Grid&, double, std::span<double>, ThreadPool*);

}  // namespace fedlora
