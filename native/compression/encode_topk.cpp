// topk: what is sent (topk_select.h), the levels of its magnitudes, its positions; with error feedback a last sweep leaves t as the
// residual where nothing is sent.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "base/error.h"
#include "compression/encode.h"
#include "compression/magnitude_levels.h"
#include "compression/topk_coded.h"
#include "compression/topk_rice.h"
#include "compression/topk_select.h"

namespace fedlora {

namespace {
/// What is sent, its levels, and the form in which it takes fewer bytes.
class TopkBody {
 public:
  TopkBody(const TopkSelection& chosen, const CodecOptions& options, int64_t count)
      : sent_(chosen.sent), bits_(options.bits), histogram_(chosen.lowest, chosen.largest) {
    entries_.gaps.reserve(sent_.size());
    int64_t next = 0;
    for (const Candidate& c : sent_) {
      histogram_.add(c.magnitude(), std::bit_cast<float>(c.magnitude()));
      entries_.gaps.push_back(static_cast<uint32_t>(c.position - next));
      next = int64_t{c.position} + 1;
    }
    entries_.codes.resize(sent_.size());
    parameter_ = best_rice_parameter(entries_.gaps, count);
    const int64_t rice_bytes = rice_body_bytes(entries_.gaps, bits_, parameter_);
    if (options.version >= 2 && may_code_entries(count, static_cast<int64_t>(sent_.size()))) {
      bits_ == 2 ? histogram_.fit_cheapest() : histogram_.fit(levels());
      assign_levels();
      coded_ = code_entries(entries_, bits_, count);
      if (level_bytes() + static_cast<int64_t>(coded_.size()) < rice_bytes) return;
      coded_.clear();
    }
    histogram_.fit(levels());
    assign_levels();
  }

  bool coded() const { return !coded_.empty(); }
  int64_t bytes() const {
    return coded() ? level_bytes() + static_cast<int64_t>(coded_.size()) : rice_body_bytes(entries_.gaps, bits_, parameter_);
  }
  int parameter() const { return coded() ? 0 : parameter_; }

  void write(uint8_t* body) const {
    std::memcpy(body, histogram_.levels().data(), static_cast<size_t>(level_bytes()));
    if (coded()) {
      std::memcpy(body + level_bytes(), coded_.data(), coded_.size());
    } else {
      std::memset(body + level_bytes(), 0, static_cast<size_t>(bytes() - level_bytes()));
      write_rice_entries(entries_, bits_, parameter_, body);
    }
  }

  /// residual = t where nothing is sent, t − level where something is.
  void leave_residual(const EncodeInput& input, const CodecKernels& kernels) const {
    for_each_chunk(input, kernels, [&](int64_t first, int64_t count, const float* targets, int) {
      std::memcpy(input.new_residual + first, targets, static_cast<size_t>(count) * 4);
    });
    for (const Candidate& c : sent_) {
      const float level = to_f32(histogram_.levels()[static_cast<size_t>(histogram_.level_of(c.magnitude()))]);
      input.new_residual[c.position] = c.value - std::copysign(level, c.value);
    }
  }

 private:
  int levels() const { return 1 << (bits_ - 1); }
  int64_t level_bytes() const { return 2 * levels(); }
  void assign_levels() {
    for (size_t i = 0; i < sent_.size(); ++i)
      entries_.codes[i] =
          static_cast<uint8_t>(histogram_.level_of(sent_[i].magnitude()) | (std::signbit(sent_[i].value) ? 1 << (bits_ - 1) : 0));
  }

  const std::vector<Candidate>& sent_;
  int bits_;
  MagnitudeHistogram histogram_;
  TopkEntries entries_;
  int parameter_ = 0;
  std::vector<uint8_t> coded_;
};
}  // namespace

namespace {
TopkSelection select(EncodeInput input, double density, int64_t elements, const CodecKernels& kernels) {
  const double wanted = std::round(density * static_cast<double>(elements));
  return select_topk(input, std::clamp<int64_t>(static_cast<int64_t>(wanted), 1, std::max<int64_t>(elements, 1)), kernels);
}

/// The largest of the tensors of each density, by themselves.
TopkSelection select_by_density(EncodeInput input, std::span<const UpdateTensor> layout, const CodecKernels& kernels) {
  struct Group {
    std::vector<ElementRange> ranges;
    int64_t elements = 0;
  };
  std::map<double, Group> groups;
  int64_t at = 0;
  for (const UpdateTensor& tensor : layout) {
    Group& group = groups[tensor.density];
    const int64_t length = tensor.rows * tensor.columns;
    if (!group.ranges.empty() && group.ranges.back().end == at)
      group.ranges.back().end += length;
    else
      group.ranges.push_back({at, at + length});
    at += length, group.elements += length;
  }
  if (groups.size() == 1) return select(input, layout.front().density, at, kernels);
  constexpr size_t most_groups = 8;
  if (groups.size() > most_groups)
    fail(Code::E_ARGUMENT, "a layout of %zu densities, topk takes at most %zu of them", groups.size(), most_groups);
  TopkSelection all;
  for (const auto& [density, group] : groups) {
    input.within = group.ranges;
    const TopkSelection chosen = select(input, density, group.elements, kernels);
    if (chosen.sent.empty()) continue;
    all.lowest = all.sent.empty() ? chosen.lowest : std::min(all.lowest, chosen.lowest);
    all.largest = std::max(all.largest, chosen.largest);
    all.sent.insert(all.sent.end(), chosen.sent.begin(), chosen.sent.end());
  }
  std::sort(all.sent.begin(), all.sent.end(), [](const Candidate& a, const Candidate& b) { return a.position < b.position; });
  return all;
}
}  // namespace

void encode_topk(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels) {
  UpdateHeader header;
  header.codec = Codec::topk, header.bits = options.bits, header.count = input.count;
  const TopkSelection chosen =
      options.layout.empty() ? select(input, options.density, input.count, kernels) : select_by_density(input, options.layout, kernels);
  if (chosen.sent.empty()) {  // the residual is t, which is 0 everywhere
    uint8_t* const message = place(update_header_bytes);
    if (input.new_residual) std::fill_n(input.new_residual, input.count, 0.0f);
    return seal_message(header, message, update_header_bytes, nullptr);
  }
  const TopkBody body(chosen, options, input.count);
  header.sent = static_cast<int64_t>(chosen.sent.size());
  header.parameter = body.parameter();
  header.version = body.coded() ? 2 : 1;
  const int64_t size = update_header_bytes + body.bytes();
  uint8_t* const message = place(size);
  body.write(message + update_header_bytes);
  seal_message(header, message, size, input.pool);
  if (input.new_residual) body.leave_residual(input, kernels);
}

}  // namespace fedlora
