// topk: what is sent (topk_select.h), the levels of its magnitudes, its positions; with error feedback a last sweep leaves t as the
// residual where nothing is sent.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "compression/bits.h"
#include "compression/encode.h"
#include "compression/magnitude_levels.h"
#include "compression/topk_select.h"

namespace fedlora {

namespace {
/// Rice parameter with the fewest bits for these gaps; the smallest of equals.
int best_parameter(const std::vector<uint32_t>& gaps, int64_t elements) {
  const int64_t entries = static_cast<int64_t>(gaps.size());
  const int most = std::min(31, static_cast<int>(std::bit_width(static_cast<uint64_t>(elements / entries))) + 1);
  int best = 0;
  int64_t least = INT64_MAX;
  for (int b = 0; b <= most; ++b) {
    int64_t bits = entries * (b + 1);
    for (uint32_t gap : gaps) bits += gap >> b;
    if (bits < least) least = bits, best = b;
  }
  return best;
}

/// Writes the four parts of the body into zeros.
void write_body(const std::vector<Candidate>& sent, const std::vector<uint32_t>& gaps, const MagnitudeHistogram& histogram, int bits,
                int parameter, uint8_t* body) {
  const TopkLayout layout = topk_layout(bits, parameter, static_cast<int64_t>(sent.size()));
  std::memcpy(body, histogram.levels().data(), histogram.levels().size() * 2);
  BitWriter values(body + layout.values);
  for (const Candidate& c : sent)
    values.put(static_cast<uint32_t>(histogram.level_of(c.magnitude())) | (std::signbit(c.value) ? 1u << (bits - 1) : 0u), bits);
  values.finish();
  BitWriter remainders(body + layout.remainders);
  const uint32_t mask = (1u << parameter) - 1;
  uint8_t* quotients = body + layout.quotients;
  uint64_t at = 0;
  for (uint32_t gap : gaps) {
    remainders.put(gap & mask, parameter);
    at += gap >> parameter;
    quotients[at / 8] = static_cast<uint8_t>(quotients[at / 8] | 1u << (at % 8));
    ++at;
  }
  remainders.finish();
}

int64_t body_bytes(const std::vector<uint32_t>& gaps, int bits, int parameter) {
  int64_t quotient_bits = static_cast<int64_t>(gaps.size());
  for (uint32_t gap : gaps) quotient_bits += gap >> parameter;
  return topk_layout(bits, parameter, static_cast<int64_t>(gaps.size())).quotients + (quotient_bits + 7) / 8;
}

/// residual = t where nothing is sent, t − level where something is.
void leave_residual(const EncodeInput& input, const std::vector<Candidate>& sent, const MagnitudeHistogram& histogram,
                    const CodecKernels& kernels) {
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, const float* targets, int) {
    std::memcpy(input.new_residual + first, targets, static_cast<size_t>(count) * 4);
  });
  for (const Candidate& c : sent) {
    const float level = to_f32(histogram.levels()[static_cast<size_t>(histogram.level_of(c.magnitude()))]);
    input.new_residual[c.position] = c.value - std::copysign(level, c.value);
  }
}
}  // namespace

void encode_topk(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels) {
  UpdateHeader header;
  header.codec = Codec::topk, header.bits = options.bits, header.count = input.count;
  const int64_t wanted =
      std::clamp<int64_t>(std::llround(options.density * static_cast<double>(input.count)), 1, std::max<int64_t>(input.count, 1));
  const TopkSelection chosen = select_topk(input, wanted, kernels);
  const std::vector<Candidate>& sent = chosen.sent;
  if (sent.empty()) {  // the residual is t, which is 0 everywhere
    uint8_t* const message = place(update_header_bytes);
    if (input.new_residual) std::fill_n(input.new_residual, input.count, 0.0f);
    return seal_message(header, message, update_header_bytes, nullptr);
  }

  MagnitudeHistogram histogram(chosen.lowest, chosen.largest);
  std::vector<uint32_t> gaps;
  gaps.reserve(sent.size());
  int64_t next = 0;
  for (const Candidate& c : sent) {
    histogram.add(c.magnitude(), std::bit_cast<float>(c.magnitude()));
    gaps.push_back(static_cast<uint32_t>(c.position - next));
    next = int64_t{c.position} + 1;
  }
  histogram.fit(1 << (options.bits - 1));

  header.sent = static_cast<int64_t>(sent.size());
  header.parameter = best_parameter(gaps, input.count);
  const int64_t size = update_header_bytes + body_bytes(gaps, options.bits, header.parameter);
  uint8_t* const message = place(size);
  std::memset(message, 0, static_cast<size_t>(size));
  write_body(sent, gaps, histogram, options.bits, header.parameter, message + update_header_bytes);
  seal_message(header, message, size, input.pool);
  if (input.new_residual) leave_residual(input, sent, histogram, kernels);
}

}  // namespace fedlora
