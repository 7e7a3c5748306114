// The kernels of one instruction set, within its namespace: vectors of FEDLORA_LANES words, written with the compiler's vector extensions.

constexpr int lanes = FEDLORA_LANES;
using Vector = uint32_t __attribute__((vector_size(4 * lanes)));
using Halfwords = uint16_t __attribute__((vector_size(4 * lanes)));

#if defined(__clang__)
#define FEDLORA_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FEDLORA_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Vector{__VA_ARGS__})
#endif

/// Lanes of two vectors by turns: of their lower halves, of their upper halves.
#if FEDLORA_LANES == 4
#define FEDLORA_ZIP_LOW 0, 4, 1, 5
#define FEDLORA_ZIP_HIGH 2, 6, 3, 7
#elif FEDLORA_LANES == 8
#define FEDLORA_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define FEDLORA_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define FEDLORA_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define FEDLORA_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif

#include "masking/chacha20.inl"
#include "masking/quantize.inl"

#undef FEDLORA_SHUFFLE
#undef FEDLORA_ZIP_LOW
#undef FEDLORA_ZIP_HIGH
