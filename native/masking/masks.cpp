#include "masking/masks.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "masking/kernels.h"

namespace fedlora {

static_assert(std::endian::native == std::endian::little, "words are read where they lie");

namespace {
constexpr int64_t block_bytes = 64;
/// Bytes that all masks are added to before the next ones are touched: a multiple of every table's group, within the first-level cache.
constexpr int64_t tile_bytes = 16384;

struct Stream {
  uint32_t key[8];
  bool negative;
};

void add_tile(const MaskingKernels& kernels, int word_bytes, const std::vector<Stream>& streams, int64_t begin, std::span<uint8_t> tile) {
  const int64_t group_bytes = kernels.group * block_bytes, size = static_cast<int64_t>(tile.size());
  const int64_t groups = size / group_bytes, rest = size % group_bytes;
  const auto add = word_bytes == 2 ? kernels.add_stream16 : kernels.add_stream32;
  const uint32_t first = static_cast<uint32_t>(begin / block_bytes),
                 after = static_cast<uint32_t>((begin + groups * group_bytes) / block_bytes);
  for (const Stream& stream : streams) add(stream.key, first, stream.negative, groups, tile.data());
  if (rest == 0) return;
  alignas(64) uint8_t last[1024] = {};
  std::memcpy(last, tile.data() + groups * group_bytes, static_cast<size_t>(rest));
  for (const Stream& stream : streams) add(stream.key, after, stream.negative, 1, last);
  std::memcpy(tile.data() + groups * group_bytes, last, static_cast<size_t>(rest));
}

void check_words(size_t bytes, int word_bytes) {
  if (word_bytes != 2 && word_bytes != 4) fail(Code::E_ARGUMENT, "a masked word has %d bytes, expected 2 or 4", word_bytes);
  if (bytes % static_cast<size_t>(word_bytes) != 0)
    fail(Code::E_SHAPE, "%zu bytes are no whole number of words of %d bytes", bytes, word_bytes);
}

template <class Word>
void add(uint8_t* sums, const uint8_t* words, size_t bytes) {
  for (size_t at = 0; at < bytes; at += sizeof(Word)) {
    Word sum, word;
    std::memcpy(&sum, sums + at, sizeof sum), std::memcpy(&word, words + at, sizeof word);
    sum = static_cast<Word>(sum + word);
    std::memcpy(sums + at, &sum, sizeof sum);
  }
}
}  // namespace

void add_words(std::span<uint8_t> sums, std::span<const uint8_t> words, int word_bytes) {
  check_words(sums.size(), word_bytes);
  if (sums.size() != words.size()) fail(Code::E_SHAPE, "%zu bytes of words to add to %zu", words.size(), sums.size());
  (word_bytes == 2 ? add<uint16_t> : add<uint32_t>)(sums.data(), words.data(), sums.size());
}

void add_masks(std::span<uint8_t> words, int word_bytes, std::span<const Mask> masks, ThreadPool* pool) {
  check_words(words.size(), word_bytes);
  const int64_t size = static_cast<int64_t>(words.size());
  if (size > block_bytes << 32) fail(Code::E_SHAPE, "%zu bytes to mask, expected at most 2^38: the keystream ends there", words.size());
  std::vector<Stream> streams(masks.size());
  for (size_t m = 0; m < masks.size(); ++m) {
    std::memcpy(streams[m].key, masks[m].key.data(), sizeof streams[m].key);
    streams[m].negative = masks[m].negative;
  }
  const MaskingKernels& kernels = masking_kernels();
  run_tasks(pool, (size + tile_bytes - 1) / tile_bytes, [&](int64_t task, int) {
    const int64_t begin = task * tile_bytes, end = std::min(size, begin + tile_bytes);
    add_tile(kernels, word_bytes, streams, begin, words.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  });
}

}  // namespace fedlora
