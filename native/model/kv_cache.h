/// Keys and values of the rows generated so far, one layer after another: Activation [capacity, G·D] each.
#pragma once
#include <vector>

#include "backend/memory.h"
#include "model/description.h"

namespace fedlora {

class KvCache {
 public:
  KvCache() = default;
  KvCache(const Description& description, std::shared_ptr<Memory> memory, Compute compute, int64_t capacity)
      : capacity_(capacity),
        row_bytes_(description.kv_width() * activation_width(compute)),
        layer_bytes_((capacity * row_bytes_ + 255) / 256 * 256),
        storage_(std::move(memory), static_cast<size_t>(2 * static_cast<int64_t>(description.layers.size()) * layer_bytes_)) {}

  int64_t capacity() const { return capacity_; }
  size_t bytes() const { return storage_.bytes(); }
  Activation key(int64_t layer, int64_t row) { return place(2 * layer, row); }
  Activation value(int64_t layer, int64_t row) { return place(2 * layer + 1, row); }

  int64_t length = 0;  // rows that are valid

 private:
  Activation place(int64_t plane, int64_t row) { return storage_.data() + plane * layer_bytes_ + row * row_bytes_; }

  int64_t capacity_ = 0, row_bytes_ = 0, layer_bytes_ = 0;
  Buffer<uint8_t> storage_;
};

}  // namespace fedlora
