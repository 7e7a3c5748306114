#include "backend/cuda/library/staging.h"

#include <cstring>

#include "backend/cuda/library/failure.h"

namespace fedlora::cuda {

namespace {
constexpr size_t alignment = 256;
constexpr size_t aligned(size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }
}  // namespace

Staging::~Staging() {
  for (Ring& ring : rings_) {
    for (cudaEvent_t event : ring.left)
      if (event != nullptr) cudaEventDestroy(event);
    if (ring.pinned != nullptr) cudaFreeHost(ring.pinned);
    if (ring.device != nullptr) cudaFree(ring.device);
  }
}

size_t Staging::bytes() const {
  size_t bytes = 0;
  for (const Ring& ring : rings_) bytes += parts * ring.part_bytes;
  return bytes;
}

size_t Staging::part_for(size_t bytes) {
  size_t part_bytes = first_part_bytes;
  while (part_bytes < bytes) part_bytes *= 2;
  return part_bytes;
}

void Staging::grow(size_t bytes) {
  rings_.emplace_back();  // first, so that what a failure leaves is freed with the others
  Ring& ring = rings_.back();
  part_ = 0;
  used_ = 0;
  sent_.clear();
  const size_t part_bytes = part_for(bytes);
  expect(cudaHostAlloc(reinterpret_cast<void**>(&ring.pinned), parts * part_bytes, cudaHostAllocDefault),
         "cudaHostAlloc of the staging ring");
  expect(cudaMalloc(reinterpret_cast<void**>(&ring.device), parts * part_bytes), "cudaMalloc of the staging ring");
  for (cudaEvent_t& event : ring.left) expect(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  ring.part_bytes = part_bytes;
}

void Staging::next_part() {
  Ring& ring = rings_.back();
  expect(cudaEventRecord(ring.left[part_], stream_), "cudaEventRecord");
  part_ = (part_ + 1) % parts;
  expect(cudaEventSynchronize(ring.left[part_]), "cudaEventSynchronize");  // returns at once for a part that was never left
  used_ = 0;
  sent_.clear();
}

const void* Staging::send(const void* from, size_t bytes) {
  if (bytes == 0) return nullptr;
  if (rings_.empty() || bytes > rings_.back().part_bytes) grow(bytes);
  const Ring& ring = rings_.back();
  if (used_ + bytes > ring.part_bytes) next_part();
  for (const Sent& sent : sent_)
    if (sent.bytes == bytes && std::memcmp(ring.pinned + sent.at, from, bytes) == 0) return ring.device + sent.at;
  const size_t at = static_cast<size_t>(part_) * ring.part_bytes + used_;
  std::memcpy(ring.pinned + at, from, bytes);
  expect(cudaMemcpyAsync(ring.device + at, ring.pinned + at, bytes, cudaMemcpyHostToDevice, stream_), "copy from the staging ring");
  used_ += aligned(bytes);
  sent_.push_back({at, bytes});
  return ring.device + at;
}

}  // namespace fedlora::cuda
