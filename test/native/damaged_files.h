/// Files read whole, written whole, and read again after damage.
#pragma once
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "tensor/source.h"

namespace fedlora {

template <class Bytes = std::vector<uint8_t>>
Bytes read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

template <class Bytes>
void write_bytes(const std::string& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// Opens 300 copies of a file, each with a bit turned and one of four cut short, and reads all that they hold to the last byte. Returns
/// what depends on every byte, and on every refusal, so that nothing of it is left out.
template <class Bytes, class Open>
uint64_t read_damaged(const Bytes& good, const std::string& path, Open open) {
  const Philox draw{8, 0};
  uint64_t sum = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    Bytes damaged = good;
    const auto words = draw(round);
    damaged[words[0] % good.size()] ^= static_cast<typename Bytes::value_type>(1u << (words[1] % 8));
    if (words[2] % 4 == 0) damaged.resize(words[3] % (good.size() + 1));
    write_bytes(path, damaged);
    try {
      const auto file = open(path);
      for (const std::string& name : file.names()) {
        const TensorView view = file.get(name);
        for (size_t i = 0; i < view.bytes; ++i) sum += static_cast<const uint8_t*>(view.data)[i];
      }
    } catch (const Error&) {
      ++sum;
    }
  }
  return sum;
}

}  // namespace fedlora
