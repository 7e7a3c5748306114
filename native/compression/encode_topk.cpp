// topk: the first sweep fills a histogram of magnitudes (8 bits of exponent, 3 of mantissa) and finds what is not finite; the bin that
// holds the k-th largest magnitude bounds the candidates. The second collects the candidates: the exact threshold, the levels and the
// positions need no more. The third, with error feedback only, leaves t as the residual where nothing is sent.
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
  constexpr size_t tables = 4;
  const size_t members = input.pool ? static_cast<size_t>(input.pool->threads()) : 1;
  std::vector<uint32_t> counts(members * tables * bins);
  Magnitudes found;
  found.largest = largest_target(input, kernels, [&](int64_t, int64_t count, const float* targets, int member) {
    alignas(64) uint16_t bin[encode_chunk];
    uint32_t* t = counts.data() + static_cast<size_t>(member) * tables * bins;
    kernels.magnitude_bins(targets, count, bin);
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) ++t[bin[i]], ++t[bins + bin[i + 1]], ++t[2 * bins + bin[i + 2]], ++t[3 * bins + bin[i + 3]];
    for (; i < count; ++i) ++t[bin[i]];
  });
  found.histogram.resize(bins);
  for (size_t i = 0; i < counts.size(); ++i) found.histogram[i % bins] += counts[i];
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

/// What has a magnitude of at least `lowest`, in order of position; `most` of them there are.
std::vector<Candidate> collect(const EncodeInput& input, uint32_t lowest, size_t most, const CodecKernels& kernels) {
  // Each member appends what it finds to a list of its own, which has room for everything, so that no task needs memory that may fail.
  struct Part {
    int member;
    size_t begin, end;
  };
  std::vector<Part> parts(static_cast<size_t>(input.slices()), Part{-1, 0, 0});
  std::vector<std::vector<Candidate>> found(input.pool ? static_cast<size_t>(input.pool->threads()) : 1);
  for (std::vector<Candidate>& list : found) list.reserve(most);
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, float* targets, int member) {
    const int64_t padded = (count + 63) / 64 * 64;
    std::fill(targets + count, targets + padded, 0.0f);
    uint64_t masks[encode_chunk / 64];
    kernels.select_mask(targets, padded, lowest, masks);
    std::vector<Candidate>& list = found[static_cast<size_t>(member)];
    Part& part = parts[static_cast<size_t>(first / encode_slice)];
    if (part.member < 0) part = {member, list.size(), list.size()};
    for (int64_t i = 0; i < padded; i += 64)
      for (uint64_t mask = masks[i / 64]; mask != 0; mask &= mask - 1) {
        const int64_t j = i + std::countr_zero(mask);
        list.push_back({static_cast<uint32_t>(first + j), targets[j]});
      }
    part.end = list.size();
  });
  if (found.size() == 1) return std::move(found.front());
  std::vector<Candidate> all;
  all.reserve(most);
  for (const Part& part : parts) {
    const Candidate* list = found[static_cast<size_t>(part.member)].data();
    all.insert(all.end(), list + part.begin, list + part.end);
  }
  return all;
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
  const Magnitudes magnitudes = count_magnitudes(input, kernels);
  if (magnitudes.largest == 0) {  // nothing to send; the residual is t, which is 0 everywhere
    uint8_t* const message = place(update_header_bytes);
    if (input.new_residual) std::fill_n(input.new_residual, input.count, 0.0f);
    return seal_message(header, message, update_header_bytes, nullptr);
  }

  int64_t wanted = std::clamp<int64_t>(std::llround(options.density * static_cast<double>(input.count)), 1, input.count);
  size_t bin = bins - 1;
  int64_t above = 0;
  while (bin > 0 && above + magnitudes.histogram[bin] < wanted) above += magnitudes.histogram[bin--];
  const uint32_t lowest = std::max(static_cast<uint32_t>(bin) << bin_shift, 1u);  // a zero is never sent
  const size_t most = static_cast<size_t>(above + magnitudes.histogram[bin]);
  std::vector<Candidate> candidates = collect(input, lowest, most, kernels);
  wanted = std::min(wanted, static_cast<int64_t>(candidates.size()));
  Threshold threshold = refine(candidates, static_cast<uint32_t>(bin), wanted - above);

  MagnitudeHistogram histogram(lowest, magnitudes.largest);
  std::vector<uint32_t> gaps;
  gaps.reserve(static_cast<size_t>(wanted));
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

  header.sent = static_cast<int64_t>(kept);
  header.parameter = best_parameter(gaps, input.count);
  const int64_t size = update_header_bytes + body_bytes(gaps, options.bits, header.parameter);
  uint8_t* const message = place(size);
  std::memset(message, 0, static_cast<size_t>(size));
  write_body(sent, gaps, histogram, options.bits, header.parameter, message + update_header_bytes);
  seal_message(header, message, size, input.pool);
  if (input.new_residual) leave_residual(input, sent, histogram, kernels);
}

}  // namespace fedlora
