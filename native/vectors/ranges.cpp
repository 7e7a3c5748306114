#include "vectors/ranges.h"

#include "base/error.h"

namespace fedlora {

void check_ranges(std::span<const Range> ranges, int64_t length) {
  int64_t reached = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const auto [begin, end] = ranges[i];
    if (!(begin >= reached && end >= begin && end <= length))
      fail(Code::E_ARGUMENT,
           "range %zu is [%lld, %lld) of a vector of %lld values: expected ranges that ascend, do not overlap and end there", i,
           static_cast<long long>(begin), static_cast<long long>(end), static_cast<long long>(length));
    reached = end;
  }
}

}  // namespace fedlora
