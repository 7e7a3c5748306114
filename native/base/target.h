/// Instructions beyond the ABI floor, as GCC and clang want to be told. Only the files of an instruction set use this, below every include.
///
///   FEDLORA_TARGET(features)          before a function: it may use them
///   FEDLORA_TARGET_BEGIN(features)    every function from here on may,
///   FEDLORA_TARGET_END                up to here
///
/// Each compiler passes over the other's region, and drops an attribute with a word that it does not know; both are errors in
/// CMakeLists.txt.
#pragma once

#define FEDLORA_PRAGMA(...) _Pragma(#__VA_ARGS__)
#define FEDLORA_TARGET(features) __attribute__((target(features)))

#if defined(__clang__)
#define FEDLORA_TARGET_BEGIN(features) FEDLORA_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define FEDLORA_TARGET_END FEDLORA_PRAGMA(clang attribute pop)
#define FEDLORA_UNDEFINED_VECTORS
#else
#define FEDLORA_TARGET_BEGIN(features) FEDLORA_PRAGMA(GCC push_options) FEDLORA_PRAGMA(GCC target(features))
#define FEDLORA_TARGET_END FEDLORA_PRAGMA(GCC pop_options)
/// For a file whose intrinsics make vectors of undefined contents: GCC's own _mm512_undefined_ps() trips the warnings wherever it is
/// inlined.
#define FEDLORA_UNDEFINED_VECTORS \
  FEDLORA_PRAGMA(GCC diagnostic ignored "-Wmaybe-uninitialized") FEDLORA_PRAGMA(GCC diagnostic ignored "-Wuninitialized")
#endif

// The features of a level. GCC vectorises plain loops with 256 bits unless told to use 512, which clang does unasked.
#if defined(__x86_64__)
#define FEDLORA_AVX2 "avx2,fma,f16c"
#define FEDLORA_AVX512BF16 "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"
#if defined(__clang__)
#define FEDLORA_AVX512 "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"
#else
#define FEDLORA_AVX512 "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512"
#endif
#elif defined(__aarch64__)
#if defined(__clang__)
#define FEDLORA_NEONBF16 "bf16"
#define FEDLORA_CRC32 "crc"
#else
#define FEDLORA_NEONBF16 "arch=armv8.2-a+bf16"  // as arm_neon.h has it: "+bf16" alone lacks what its functions are inlined with
#define FEDLORA_CRC32 "+crc"
#endif
#endif
