// topk: two sweeps over the input. The first fills a histogram of magnitudes (8 bits of exponent, 3 of mantissa) and finds what is not
// finite; the bin that holds the k-th largest magnitude bounds the candidates. The second collects the candidates and writes the
// residuals. The exact threshold, the levels and the positions need the candidates only.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "compression/bits.h"
#include "compression/encode.h"
#include "compression/magnitude_levels.h"

namespace fedlora {

namespace {
constexpr int bin_shift = 20;
constexpr size_t bins = 2048;
constexpr uint32_t magnitude_mask = 0x7fffffffu;

struct Candidate {
  uint32_t position;
  float value;
  uint32_t magnitude() const { return std::bit_cast<uint32_t>(value) & magnitude_mask; }
};

/// Magnitudes above `bits` are sent, and of those equal to it the first `ties`.
struct Threshold {
  uint32_t bits;
  int64_t ties;
};

struct Magnitudes {
  std::vector<int64_t> histogram;
  uint32_t largest = 0;
};

Magnitudes count_magnitudes(const EncodeInput& input, const CodecKernels& kernels) {
  // Neighbours often fall into one bin; four tables keep an increment from waiting for the one before.
  std::vector<uint32_t> tables(4 * bins);
  uint32_t* t = tables.data();
  Magnitudes found;
  alignas(64) float targets[encode_chunk];
  alignas(64) uint16_t bin[encode_chunk];
  for (int64_t first = 0; first < input.count; first += encode_chunk) {
    const int64_t count = std::min(encode_chunk, input.count - first);
    found.largest = std::max(found.largest, finite_targets(input, first, count, targets, kernels));
    kernels.magnitude_bins(targets, count, bin);
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) ++t[bin[i]], ++t[bins + bin[i + 1]], ++t[2 * bins + bin[i + 2]], ++t[3 * bins + bin[i + 3]];
    for (; i < count; ++i) ++t[bin[i]];
  }
  found.histogram.resize(bins);
  for (size_t b = 0; b < bins; ++b)
    found.histogram[b] = int64_t{t[b]} + int64_t{t[bins + b]} + int64_t{t[2 * bins + b]} + int64_t{t[3 * bins + b]};
  return found;
}

/// The exact k-th largest magnitude: two more histograms of 10 bits each, over the candidates of bin `bin`; `needed` ≥ 1 of them are sent.
Threshold refine(const std::vector<Candidate>& candidates, uint32_t bin, int64_t needed) {
  uint32_t prefix = bin;
  for (int shift = 10; shift >= 0; shift -= 10) {
    std::vector<int64_t> counts(1024);
    for (const Candidate& c : candidates)
      if (c.magnitude() >> (shift + 10) == prefix) ++counts[(c.magnitude() >> shift) & 1023];
    uint32_t digit = 1023;
    while (counts[digit] < needed) needed -= counts[digit--];
    prefix = prefix << 10 | digit;
  }
  return {prefix, needed};
}

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

/// Writes the four parts of the body behind the header.
void write_body(const std::vector<Candidate>& sent, const std::vector<uint32_t>& gaps, const MagnitudeHistogram& histogram, int bits,
                int parameter, std::vector<uint8_t>& message) {
  const TopkLayout layout = topk_layout(bits, parameter, static_cast<int64_t>(sent.size()));
  int64_t quotient_bits = static_cast<int64_t>(gaps.size());
  for (uint32_t gap : gaps) quotient_bits += gap >> parameter;
  message.assign(static_cast<size_t>(update_header_bytes + layout.quotients + (quotient_bits + 7) / 8), 0);
  uint8_t* body = message.data() + update_header_bytes;
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

/// Collects what has a magnitude of at least `lowest`, in order of position, and writes residual = target everywhere.
void collect(EncodeInput input, uint32_t lowest, std::vector<Candidate>& candidates, const CodecKernels& kernels) {
  alignas(64) float targets[encode_chunk];
  uint64_t masks[encode_chunk / 64];
  for (int64_t first = 0; first < input.count; first += encode_chunk) {
    const int64_t count = std::min(encode_chunk, input.count - first), padded = (count + 63) / 64 * 64;
    kernels.add_residual(input.update + first, input.residual_at(first), targets, count);
    std::fill(targets + count, targets + padded, 0.0f);
    if (input.residual) std::memcpy(input.residual_at(first), targets, static_cast<size_t>(count) * 4);
    kernels.select_mask(targets, padded, lowest, masks);
    for (int64_t i = 0; i < padded; i += 64)
      for (uint64_t mask = masks[i / 64]; mask != 0; mask &= mask - 1) {
        const int64_t j = i + std::countr_zero(mask);
        candidates.push_back({static_cast<uint32_t>(first + j), targets[j]});
      }
  }
}
}  // namespace

void encode_topk(EncodeInput input, const CodecOptions& options, std::vector<uint8_t>& bytes, const CodecKernels& kernels) {
  UpdateHeader header;
  header.codec = Codec::topk, header.bits = options.bits, header.count = input.count;
  const Magnitudes magnitudes = count_magnitudes(input, kernels);
  if (magnitudes.largest == 0) {  // nothing to send; the residual is t, which is 0 everywhere
    std::vector<uint8_t> message(static_cast<size_t>(update_header_bytes));
    if (input.residual) std::fill_n(input.residual, input.count, 0.0f);
    seal_message(header, message);
    bytes.swap(message);
    return;
  }

  int64_t wanted = std::clamp<int64_t>(std::llround(options.density * static_cast<double>(input.count)), 1, input.count);
  size_t bin = bins - 1;
  int64_t above = 0;
  while (bin > 0 && above + magnitudes.histogram[bin] < wanted) above += magnitudes.histogram[bin--];
  const uint32_t lowest = std::max(static_cast<uint32_t>(bin) << bin_shift, 1u);  // a zero is never sent

  // Everything that may fail for want of memory comes before the first residual is written.
  const size_t most = static_cast<size_t>(above + magnitudes.histogram[bin]), at_most_sent = std::min(most, static_cast<size_t>(wanted));
  std::vector<Candidate> candidates;
  std::vector<uint32_t> gaps;
  std::vector<uint8_t> message;
  MagnitudeHistogram histogram(lowest, magnitudes.largest);
  candidates.reserve(most);
  gaps.reserve(at_most_sent);
  // Whatever the positions, b = floor(log2(n / k)) costs at most b + 3 bits an entry.
  const size_t bits_per_entry = static_cast<size_t>(options.bits + std::bit_width(static_cast<size_t>(input.count) / at_most_sent) + 2);
  message.reserve(static_cast<size_t>(update_header_bytes) + 256 + at_most_sent * bits_per_entry / 8 + 8);

  collect(input, lowest, candidates, kernels);
  wanted = std::min(wanted, static_cast<int64_t>(candidates.size()));
  Threshold threshold = refine(candidates, static_cast<uint32_t>(bin), wanted - above);
  std::vector<Candidate>& sent = candidates;
  size_t kept = 0;
  int64_t next = 0;
  for (const Candidate& c : candidates) {
    const uint32_t magnitude = c.magnitude();
    if (magnitude < threshold.bits || (magnitude == threshold.bits && threshold.ties-- <= 0)) continue;
    histogram.add(magnitude, std::bit_cast<float>(magnitude));
    gaps.push_back(static_cast<uint32_t>(c.position - next));
    next = int64_t{c.position} + 1;
    sent[kept++] = c;
  }
  sent.resize(kept);
  histogram.fit(1 << (options.bits - 1));

  if (input.residual)
    for (const Candidate& c : sent) {
      const float level = to_f32(histogram.levels()[static_cast<size_t>(histogram.level_of(c.magnitude()))]);
      input.residual[c.position] = c.value - std::copysign(level, c.value);
    }
  header.sent = static_cast<int64_t>(kept);
  header.parameter = best_parameter(gaps, input.count);
  write_body(sent, gaps, histogram, options.bits, header.parameter, message);
  seal_message(header, message);
  bytes.swap(message);
}

}  // namespace fedlora
