#include "aggregation/message.h"

#include <exception>
#include <optional>

#include "aggregation/weight.h"
#include "base/error.h"

namespace fedlora {

namespace {
OpenMessage open(const WeightedMessage& message, int64_t length, const CodecKernels& kernels, ThreadPool* pool) {
  const double weight = grid_weight(message.weight);
  const int64_t count = message.values ? static_cast<int64_t>(message.values->size()) : read_header(message.bytes).count;
  if (count != length)
    fail(Code::E_SHAPE, "the update has %lld elements, this aggregator takes %lld", static_cast<long long>(count),
         static_cast<long long>(length));
  if (message.values) return {UpdateReader(*message.values, kernels, UpdateReader::Deferred{}), weight, weight_lowest_bit(weight)};
  return {UpdateReader(message.bytes, pool, kernels, UpdateReader::Deferred{}), weight, weight_lowest_bit(weight)};
}
}  // namespace

std::vector<OpenMessage> open_messages(std::span<const WeightedMessage> messages, int64_t length, const CodecKernels& kernels,
                                       ThreadPool* pool) {
  std::vector<OpenMessage> opened;
  opened.reserve(messages.size());
  if (messages.size() == 1) {
    opened.push_back(open(messages.front(), length, kernels, pool));
    return opened;
  }
  std::vector<std::optional<OpenMessage>> results(messages.size());
  std::vector<std::exception_ptr> failures(messages.size());
  run_tasks(pool, static_cast<int64_t>(messages.size()), [&](int64_t task, int) {
    const size_t i = static_cast<size_t>(task);
    try {
      results[i].emplace(open(messages[i], length, kernels, nullptr));
    } catch (...) {
      failures[i] = std::current_exception();
    }
  });
  for (size_t i = 0; i < messages.size(); ++i) {
    if (failures[i]) std::rethrow_exception(failures[i]);
    opened.push_back(std::move(*results[i]));
  }
  return opened;
}

}  // namespace fedlora
