/// A body that is compiled once for each instruction set: it takes those of the function that it is inlined into.
#pragma once

#define FEDLORA_INLINE static inline __attribute__((always_inline))
