/// FEDLORA_ADDRESS_SANITIZER is defined where AddressSanitizer watches, whichever the compiler.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define FEDLORA_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FEDLORA_ADDRESS_SANITIZER
#endif
#endif
