// randk and blocks: the chosen elements are gathered and sent by a dense codec; what is not chosen stays in the residual.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "compression/chosen_runs.h"
#include "compression/encode.h"

namespace fedlora {

namespace {
/// Neighbouring tensors of one density are one segment.
std::vector<ChosenSegment> segments_of(const CodecOptions& options, int run_log2, int64_t count) {
  std::vector<ChosenSegment> segments;
  std::vector<double> densities;
  const auto add = [&](int64_t length, double density) {
    if (segments.empty() || densities.back() != density)
      segments.push_back({static_cast<uint32_t>(length), 0}), densities.push_back(density);
    else
      segments.back().length += static_cast<uint32_t>(length);
  };
  for (const UpdateTensor& tensor : options.layout) add(tensor.rows * tensor.columns, tensor.density);
  if (options.layout.empty() && count > 0) add(count, options.density);
  for (size_t s = 0; s < segments.size(); ++s) {
    const int64_t runs = runs_of(segments[s].length, run_log2);
    segments[s].chosen = static_cast<uint32_t>(std::clamp<int64_t>(std::llround(densities[s] * static_cast<double>(runs)), 1, runs));
  }
  return segments;
}

/// The targets of the chosen elements, one after another; times their width where that makes their expectation the element.
std::vector<float> gather(const EncodeInput& input, const std::vector<ChosenRun>& runs, int64_t sent, bool unbiased) {
  std::vector<float> values(static_cast<size_t>(sent));
  float* out = values.data();
  for (const ChosenRun& run : runs) {
    const float factor = unbiased ? static_cast<float>(run.width) : 1.0f;
    for (int64_t i = run.begin; i < run.end; ++i) {
      const float target = input.residual ? input.update[i] + input.residual[i] : input.update[i];
      *out = target * factor;
      if (!std::isfinite(*out))
        fail(Code::E_NONFINITE, "element %lld of the update is %g, which is not finite when it is scaled by %g; nothing was encoded",
             static_cast<long long>(i), target, factor);
      ++out;
    }
  }
  return values;
}
}  // namespace

void encode_chosen(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels) {
  largest_target(input, kernels);
  UpdateHeader header;
  header.version = 2, header.codec = options.codec, header.bits = options.bits, header.count = input.count;
  header.parameter = options.codec == Codec::blocks ? options.run_log2 : 0;
  const std::vector<ChosenSegment> segments = segments_of(options, header.parameter, input.count);
  std::vector<ChosenRun> runs;
  for_each_run(segments, header.parameter, options.choice_seed, [&](const ChosenRun& run) {
    runs.push_back(run);
    header.sent += run.end - run.begin;
  });
  const std::vector<float> values = gather(input, runs, header.sent, options.unbiased);
  std::vector<float> left(input.new_residual ? values.size() : 0);

  const EncodeInput chosen{values.data(), nullptr, input.new_residual ? left.data() : nullptr, header.sent, input.pool};
  const Codec dense = dense_codec(options.bits);
  const std::vector<bf16> scales = measure_dense(chosen, dense, kernels);

  const int64_t prefix = chosen_prefix_bytes(static_cast<int64_t>(segments.size()));
  const int64_t size = update_header_bytes + prefix + dense_body_bytes(dense, header.sent);
  uint8_t* const message = place(size);
  uint8_t* body = message + update_header_bytes;
  const uint32_t count = static_cast<uint32_t>(segments.size());
  std::memcpy(body, &options.choice_seed, 8);
  std::memcpy(body + 8, &count, 4);
  if (count > 0) std::memcpy(body + 12, segments.data(), segments.size() * sizeof(ChosenSegment));
  write_dense_body(chosen, dense, options.seed, scales, body + prefix, kernels);
  seal_message(header, message, size, input.pool);
  if (!input.new_residual) return;
  for_each_chunk(input, kernels, [&](int64_t first, int64_t n, const float* targets, int) {
    std::memcpy(input.new_residual + first, targets, static_cast<size_t>(n) * 4);
  });
  const float* rest = left.data();
  for (const ChosenRun& run : runs) {
    std::copy_n(rest, run.end - run.begin, input.new_residual + run.begin);
    rest += run.end - run.begin;
  }
}

}  // namespace fedlora
