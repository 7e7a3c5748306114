#include "tma.h"

#include <array>
#include <cstring>
#include <vector>

#include "device.h"
#include "mbarrier.h"
#include "scheduler.h"
#include "shared_memory.h"
#include "tensor_map.h"

namespace emulator {
namespace {

using Place = std::array<int64_t, most_dimensions>;

size_t box_bytes(const TensorMap& map) {
  size_t bytes = static_cast<size_t>(map.element);
  for (int d = 0; d < map.dimensions; ++d) bytes *= static_cast<size_t>(map.box[d]);
  return bytes;
}

/// The element's address, or null outside the tensor.
const char* element_at(const TensorMap& map, const Place& place) {
  const char* p = map.base;
  for (int d = 0; d < map.dimensions; ++d) {
    const int64_t i = place[static_cast<size_t>(d)];
    if (i < 0 || i >= map.size[d]) return nullptr;
    p += i * (d == 0 ? map.element : map.pitch[d - 1]);
  }
  return p;
}

/// The box, in the order in which it is packed: fastest dimension first.
std::vector<char> gather(const TensorMap& map, const Place& origin) {
  std::vector<char> packed(box_bytes(map), 0);
  Place within{};
  for (size_t o = 0; o < packed.size(); o += static_cast<size_t>(map.element)) {
    Place place{};
    for (size_t d = 0; d < place.size(); ++d) place[d] = origin[d] + within[d];
    if (const char* from = element_at(map, place)) std::memcpy(packed.data() + o, from, static_cast<size_t>(map.element));
    for (int d = 0; d < map.dimensions && ++within[static_cast<size_t>(d)] == map.box[d]; ++d) within[static_cast<size_t>(d)] = 0;
  }
  return packed;
}

/// 16 bytes at a time, as the swizzle permutes them.
void place_in_shared(const TensorMap& map, uint32_t offset, const std::vector<char>& packed) {
  for (uint32_t o = 0; o < packed.size(); o += 16)
    std::memcpy(machine.shared + swizzled_offset(offset + o, map.swizzle), packed.data() + o, 16);
}

}  // namespace

void tma_load(void* to, const CUtensorMap* map_pointer, uint64_t* barrier, const int* at, int dimensions) {
  need_architecture(90, "TMA");
  const TensorMap map = read_map(map_pointer);
  if (map.dimensions != dimensions) fault("TMA load: %d coordinates for a tensor of %d dimensions", dimensions, map.dimensions);
  const size_t bytes = box_bytes(map);
  const uint32_t offset = shared_offset(to, bytes, map.swizzle ? static_cast<size_t>(map.swizzle) * 8 : 128, "TMA load");
  barrier_check(barrier, "TMA load");
  Place origin{};
  for (int d = 0; d < dimensions; ++d) origin[static_cast<size_t>(d)] = at[d];
  spoil(to, bytes);
  happen_later([=] {
    device_access::write(to, bytes);
    {
      Quiet quiet;
      place_in_shared(map, offset, gather(map, origin));
      note_arrival(to, bytes);
    }
    barrier_bytes(barrier, static_cast<int64_t>(bytes));
  });
  perhaps_yield();
}

}  // namespace emulator
