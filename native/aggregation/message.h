/// Messages on their way into a sum.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "compression/update_reader.h"

namespace fedlora {

/// A message, or the values themselves where there are `values`.
struct WeightedMessage {
  std::span<const uint8_t> bytes;
  /// Number of training rows or any other positive weight.
  double weight;
  std::optional<std::span<const float>> values = std::nullopt;
};

/// A message whose header was checked; its body is checked run by run (UpdateReader::Deferred).
struct OpenMessage {
  UpdateReader reader;
  double weight;   // on its grid (weight.h)
  int weight_bit;  // of which it is a multiple
  Codec codec() const { return reader.header().codec; }
};

/// Opens messages of `length` elements, each on a thread of its own when there are several. Throws E_SHAPE, E_ARGUMENT (weight) and what
/// UpdateReader throws, of the first that is refused.
std::vector<OpenMessage> open_messages(std::span<const WeightedMessage> messages, int64_t length, const CodecKernels& kernels,
                                       ThreadPool* pool);

}  // namespace fedlora
