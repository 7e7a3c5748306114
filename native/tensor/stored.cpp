#include "tensor/stored.h"

#include <cstring>

#include "base/error.h"

namespace fedlora {

void swap_rows(const uint8_t* in, int64_t rows, size_t row_bytes, const RowSwap& swap, uint8_t* out, const std::string& name) {
  const auto positive = [](int64_t count) { return count >= 1 && count <= (int64_t{1} << 20); };
  const bool sound = positive(swap.outer) && positive(swap.a) && positive(swap.b);
  if (!sound || rows % (swap.outer * swap.a * swap.b) != 0)
    fail(Code::E_SHAPE, "tensor \"%s\" has %lld rows, expected a multiple of %lld × %lld × %lld.", name.c_str(),
         static_cast<long long>(rows), static_cast<long long>(swap.outer), static_cast<long long>(swap.a), static_cast<long long>(swap.b));
  const size_t bytes = static_cast<size_t>(rows / (swap.outer * swap.a * swap.b)) * row_bytes;
  for (int64_t o = 0; o < swap.outer; ++o)
    for (int64_t i = 0; i < swap.a; ++i)
      for (int64_t j = 0; j < swap.b; ++j)
        std::memcpy(out + static_cast<size_t>((o * swap.b + j) * swap.a + i) * bytes,
                    in + static_cast<size_t>((o * swap.a + i) * swap.b + j) * bytes, bytes);
}

}  // namespace fedlora
