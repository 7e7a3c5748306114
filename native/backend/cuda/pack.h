/// Arguments of ops.def on their way across the border: Packed<T> holds what a T becomes (abi.h) for the time of one call.
#pragma once
#include <unordered_map>
#include <vector>

#include "backend/cuda/abi.h"

namespace fedlora::cuda {

/// The device's copy of each matrix of a model, by the matrix's address.
using DeviceMatrices = std::unordered_map<const Matrix*, const DeviceMatrix*>;

template <class T>
class Packed {
 public:
  Packed(T value, const DeviceMatrices&) : value_(value) {}
  T wire() const { return value_; }

 private:
  T value_;
};

template <class T>
class Packed<const T&> {
 public:
  Packed(const T& value, const DeviceMatrices&) : value_(&value) {}
  const T* wire() const { return value_; }

 private:
  const T* value_;
};

template <>
class Packed<const Matrix&> {
 public:
  Packed(const Matrix& matrix, const DeviceMatrices& matrices) : value_(matrices.at(&matrix)) {}
  const DeviceMatrix* wire() const { return value_; }

 private:
  const DeviceMatrix* value_;
};

template <class T>
class Packed<std::span<T>> {
 public:
  Packed(std::span<T> values, const DeviceMatrices&) : value_{values.data(), static_cast<int64_t>(values.size())} {}
  View<T> wire() const { return value_; }

 private:
  View<T> value_;
};

template <>
class Packed<std::span<const Segment>> {
 public:
  Packed(std::span<const Segment> segments, const DeviceMatrices&) {
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
  Packed(std::span<const LinearTarget> targets, const DeviceMatrices& matrices) {
    for (const LinearTarget& target : targets)
      list_.push_back({matrices.at(target.W), target.bias, target.y, target.h, target.h_stride, target.d_y});
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
