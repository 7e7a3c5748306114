/// For zig's builds against glibc, which include it first everywhere (scripts/lib/zig.mjs). zig links a run-time library of its
/// own whose one object defines these functions, too, weakly: asked for by name alone, they are taken from there, generic code for any
/// processor. Asked for with a version they can only be glibc's, which chooses by the processor. Versions: the first of each
/// architecture; memcpy's on x86-64 would move overlapping bytes, too.
#pragma once

#if defined(__x86_64__)
#define FEDLORA_GLIBC(name) __asm__(".symver " #name "," #name "@GLIBC_2.2.5")
__asm__(".symver memcpy,memcpy@GLIBC_2.14");
#else
#define FEDLORA_GLIBC(name) __asm__(".symver " #name "," #name "@GLIBC_2.17")
FEDLORA_GLIBC(memcpy);
#endif
FEDLORA_GLIBC(memmove);
FEDLORA_GLIBC(memset);
FEDLORA_GLIBC(memcmp);
FEDLORA_GLIBC(bcmp);
FEDLORA_GLIBC(strlen);
FEDLORA_GLIBC(exp);
FEDLORA_GLIBC(expf);
FEDLORA_GLIBC(log);
FEDLORA_GLIBC(logf);
FEDLORA_GLIBC(sin);
FEDLORA_GLIBC(cos);
FEDLORA_GLIBC(sincos);
FEDLORA_GLIBC(tanh);
FEDLORA_GLIBC(fma);
FEDLORA_GLIBC(fmaf);
FEDLORA_GLIBC(floor);
#undef FEDLORA_GLIBC
