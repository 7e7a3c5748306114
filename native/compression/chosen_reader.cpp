#include "compression/chosen_reader.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "compression/chosen_runs.h"

namespace fedlora {

void DenseValues::decode(int64_t first, int64_t count, float* values, const CodecKernels& kernels) const {
  if (bits_ == 32) {
    std::memcpy(values, body_ + 4 * first, static_cast<size_t>(count) * 4);
  } else if (bits_ == 16) {
    kernels.decode_bf16(body_ + 2 * first, count, values);
  } else {
    const uint8_t* codes = body_ + 2 * block_count(count_);
    for (int64_t at = first; at < first + count;) {
      uint16_t word;
      std::memcpy(&word, body_ + 2 * (at / update_block), 2);
      const float scale = to_f32(bf16{word});
      const int64_t end = std::min((at / update_block + 1) * update_block, first + count);
      if (bits_ == 8)
        for (; at < end; ++at) *values++ = static_cast<float>(static_cast<int8_t>(codes[at])) * scale;
      else
        for (; at < end; ++at) *values++ = static_cast<float>(((codes[at / 2] >> (4 * (at & 1)) & 15) ^ 8) - 8) * scale;
    }
  }
}

void DenseValues::check() const {
  if (bits_ > 8) return;
  for (int64_t b = 0; b < block_count(count_); ++b) {
    uint16_t word;
    std::memcpy(&word, body_ + 2 * b, 2);
    if (word >= 0x7f80)
      fail(Code::E_FORMAT, "encoded update: the scale of block %lld is %g, expected a finite number not below 0", static_cast<long long>(b),
           to_f32(bf16{word}));
  }
  if (bits_ == 4 && count_ % 2 != 0 && body_[2 * block_count(count_) + count_ / 2] > 15)
    fail(Code::E_FORMAT, "encoded update: spare bits are not 0");
}

DenseValues read_chosen(const UpdateHeader& header, const uint8_t* body, std::vector<uint32_t>& positions) {
  uint64_t seed;
  uint32_t count;
  std::memcpy(&seed, body, 8);
  std::memcpy(&count, body + 8, 4);
  const int64_t prefix = chosen_prefix_bytes(count), values = dense_body_bytes(dense_codec(header.bits), header.sent);
  if (header.body_bytes != prefix + values)
    fail(Code::E_FORMAT, "encoded update: body of %lld bytes, expected %lld for %u segments and %lld elements sent",
         static_cast<long long>(header.body_bytes), static_cast<long long>(prefix + values), count, static_cast<long long>(header.sent));
  std::vector<ChosenSegment> segments(count);
  if (count > 0) std::memcpy(segments.data(), body + chosen_prefix_bytes(0), segments.size() * sizeof(ChosenSegment));
  int64_t length = 0, most = 0;
  for (const ChosenSegment& segment : segments) {
    length += segment.length;
    most += int64_t{segment.chosen} << header.parameter;
    if (segment.chosen > runs_of(segment.length, header.parameter))
      fail(Code::E_FORMAT, "encoded update: %u runs of a segment of %u elements", segment.chosen, segment.length);
  }
  // Only the last run of a segment can be short, so that these bounds keep a lie from growing.
  if (length != header.count || most < header.sent || most - (int64_t{count} << header.parameter) > header.sent)
    fail(Code::E_FORMAT, "encoded update: segments of %lld elements and up to %lld sent, the header has %lld and %lld",
         static_cast<long long>(length), static_cast<long long>(most), static_cast<long long>(header.count),
         static_cast<long long>(header.sent));
  positions.resize(static_cast<size_t>(header.sent));
  int64_t sent = 0;
  for_each_run(segments, header.parameter, seed, [&](const ChosenRun& run) {
    if (sent + run.end - run.begin <= header.sent)
      for (int64_t i = run.begin; i < run.end; ++i) positions[static_cast<size_t>(sent + i - run.begin)] = static_cast<uint32_t>(i);
    sent += run.end - run.begin;
  });
  if (sent != header.sent)
    fail(Code::E_FORMAT, "encoded update: the seed chooses %lld elements, the header has %lld", static_cast<long long>(sent),
         static_cast<long long>(header.sent));
  return DenseValues(body + prefix, header.bits, header.sent);
}

}  // namespace fedlora
