/// Masks of secure aggregation: keystreams added to words, so that what is left is uniform to whoever lacks a key and cancels in the sum.
///
///   words ← words + Σ_m ± stream(key_m)   mod 2^(8·word_bytes)
///
/// stream(key): ChaCha20 (RFC 8439) of zeros, counter from 0, nonce 0, read as little-endian words of 2 or 4 bytes. A key makes one stream.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace fedlora {

struct Mask {
  std::array<uint8_t, 32> key;
  bool negative = false;
};

/// Adds masks to words in place: little-endian, at any address. Throws E_ARGUMENT unless word_bytes is 2 or 4, and E_SHAPE unless the
/// bytes are whole words and the counter of 32 bits reaches (256 GiB).
void add_masks(std::span<uint8_t> words, int word_bytes, std::span<const Mask> masks, ThreadPool* pool = nullptr);

/// sums ← sums + words, word by word, mod 2^(8·word_bytes). Throws E_ARGUMENT and E_SHAPE as add_masks, and E_SHAPE for different lengths.
void add_words(std::span<uint8_t> sums, std::span<const uint8_t> words, int word_bytes);

}  // namespace fedlora
