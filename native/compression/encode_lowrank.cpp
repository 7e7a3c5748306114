// lowrank: every tensor of the layout by itself (low_rank.h), a task each.
#include <algorithm>
#include <cstring>
#include <exception>

#include "compression/encode.h"
#include "compression/low_rank.h"

namespace fedlora {

void encode_lowrank(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels) {
  largest_target(input, kernels);
  std::vector<LowRankFactors> factors(options.layout.size());
  std::vector<int64_t> begins;
  int64_t begin = 0;
  for (const UpdateTensor& tensor : options.layout) begins.push_back(begin), begin += tensor.rows * tensor.columns;
  const auto target_at = [&](int64_t i) { return input.residual ? input.update[i] + input.residual[i] : input.update[i]; };
  std::vector<std::exception_ptr> failures(factors.size());  // of memory: they must not leave a task
  run_tasks(input.pool, static_cast<int64_t>(factors.size()), [&](int64_t task, int) {
    const size_t t = static_cast<size_t>(task);
    try {
      const auto [rows, columns, density] = options.layout[t];
      std::vector<float> target(static_cast<size_t>(rows * columns));
      for (size_t i = 0; i < target.size(); ++i) target[i] = target_at(begins[t] + static_cast<int64_t>(i));
      const LowRankTensor tensor{static_cast<uint32_t>(rows), static_cast<uint32_t>(columns), rank_of(rows, columns, options.rank)};
      factors[t] = factorize(target, tensor, options.seed, t, kernels);
    } catch (...) {
      failures[t] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);

  int64_t numbers = 0;
  for (const LowRankFactors& one : factors) numbers += one.tensor.numbers();
  const int64_t prefix = low_rank_prefix_bytes(static_cast<int64_t>(factors.size())), size = update_header_bytes + prefix + 2 * numbers;
  uint8_t* const message = place(size);
  uint8_t* body = message + update_header_bytes;
  const uint32_t count = static_cast<uint32_t>(factors.size());
  std::memcpy(body, &count, 4);
  uint8_t* at = body + prefix;
  for (size_t t = 0; t < factors.size(); ++t) {
    std::memcpy(body + low_rank_prefix_bytes(static_cast<int64_t>(t)), &factors[t].tensor, sizeof(LowRankTensor));
    write_factors(factors[t], at);
    at += 2 * factors[t].tensor.numbers();
  }
  UpdateHeader header;
  header.version = 2, header.codec = Codec::lowrank, header.bits = 16, header.count = header.sent = input.count;
  seal_message(header, message, size, input.pool);
  if (!input.new_residual) return;
  run_tasks(input.pool, static_cast<int64_t>(factors.size()), [&](int64_t task, int) {
    const LowRankFactors& one = factors[static_cast<size_t>(task)];
    alignas(64) float sent[encode_chunk];
    for (int64_t first = 0; first < one.tensor.elements(); first += encode_chunk) {
      const int64_t length = std::min(encode_chunk, one.tensor.elements() - first), place_of = begins[static_cast<size_t>(task)] + first;
      one.product(first, length, sent, kernels);
      for (int64_t i = 0; i < length; ++i) input.new_residual[place_of + i] = target_at(place_of + i) - sent[i];
    }
  });
}

}  // namespace fedlora
