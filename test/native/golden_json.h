/// Golden files in JSON, and the check sum that they hold in place of long results.
#pragma once
#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "io/json.h"

namespace fedlora {

inline Json golden_json(const std::string& name) {
  std::ifstream file(std::string(FEDLORA_GOLDEN) + "/" + name, std::ios::binary);
  return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), name);
}

/// CRC-32 as zlib and Python's binascii have it (polynomial 0xEDB88320, reflected).
inline uint32_t crc32(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> out{};
    for (uint32_t i = 0; i < 256; ++i) {
      out[i] = i;
      for (int bit = 0; bit < 8; ++bit) out[i] = out[i] >> 1 ^ (0xEDB88320u & (0u - (out[i] & 1)));
    }
    return out;
  }();
  uint32_t sum = ~0u;
  for (const char byte : bytes) sum = sum >> 8 ^ table[(sum ^ static_cast<uint8_t>(byte)) & 0xFF];
  return ~sum;
}

}  // namespace fedlora
