/// Keys and values of the rows generated so far, one layer after another: Activation [capacity, G·D] each.
#pragma once
#include <vector>

#include "base/aligned.h"
#include "model/description.h"

namespace fedlora {

class KvCache {
 public:
  KvCache() = default;
  KvCache(const Description& description, Compute compute, int64_t capacity)
      : capacity_(capacity),
        row_bytes_(description.kv_width() * activation_width(compute)),
        layer_bytes_((capacity * row_bytes_ + 63) / 64 * 64),
        storage_(static_cast<size_t>(2 * static_cast<int64_t>(description.layers.size()) * layer_bytes_)) {}

  int64_t capacity() const { return capacity_; }
  size_t bytes() const { return storage_.bytes(); }
  Activation key(int64_t layer, int64_t row) { return place(2 * layer, row); }
  Activation value(int64_t layer, int64_t row) { return place(2 * layer + 1, row); }

  int64_t length = 0;  // rows that are valid

 private:
  Activation place(int64_t plane, int64_t row) { return storage_.data() + plane * layer_bytes_ + row * row_bytes_; }

  int64_t capacity_ = 0, row_bytes_ = 0, layer_bytes_ = 0;
  AlignedBuffer<uint8_t> storage_;
};

}  // namespace fedlora
