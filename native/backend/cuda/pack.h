/// Arguments of ops.def on their way across the border: Packed<T> holds what a T becomes (abi.h) for the time of one call.
#pragma once
#include <vector>

#include "backend/cuda/abi.h"

namespace fedlora::cuda {

/// What became of a matrix that the backend has adopted.
inline const DeviceMatrix* device_matrix(const Matrix& matrix) { return static_cast<const DeviceMatrix*>(matrix.resident.get()); }

template <class T>
class Packed {
 public:
  explicit Packed(T value) : value_(value) {}
  T wire() const { return value_; }

 private:
  T value_;
};

template <class T>
class Packed<const T&> {
 public:
  explicit Packed(const T& value) : value_(&value) {}
  const T* wire() const { return value_; }

 private:
  const T* value_;
};

template <>
class Packed<const Matrix&> {
 public:
  explicit Packed(const Matrix& matrix) : value_(device_matrix(matrix)) {}
  const DeviceMatrix* wire() const { return value_; }

 private:
  const DeviceMatrix* value_;
};

template <class T>
class Packed<std::span<T>> {
 public:
  explicit Packed(std::span<T> values) : value_{values.data(), static_cast<int64_t>(values.size())} {}
  View<T> wire() const { return value_; }

 private:
  View<T> value_;
};

template <>
class Packed<std::span<const Segment>> {
 public:
  explicit Packed(std::span<const Segment> segments) {
    for (const Segment& segment : segments)
      list_.push_back({segment.row_begin, segment.row_end, {segment.pairs.data(), static_cast<int64_t>(segment.pairs.size())}});
  }
  View<const SegmentView> wire() const { return {list_.data(), static_cast<int64_t>(list_.size())}; }

 private:
  std::vector<SegmentView> list_;
};

template <>
class Packed<std::span<const LinearTarget>> {
 public:
  explicit Packed(std::span<const LinearTarget> targets) {
    for (const LinearTarget& target : targets)
      list_.push_back({device_matrix(*target.W), target.bias, target.y, target.h, target.h_stride, target.d_y});
  }
  View<const TargetView> wire() const { return {list_.data(), static_cast<int64_t>(list_.size())}; }

 private:
  std::vector<TargetView> list_;
};
/// Nothing of a target changes in forward but what its pointers mean.
template <>
class Packed<std::span<LinearTarget>> : public Packed<std::span<const LinearTarget>> {
 public:
  using Packed<std::span<const LinearTarget>>::Packed;
};

}  // namespace fedlora::cuda
