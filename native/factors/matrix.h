/// Matrices of doubles. A view is a place, a shape and two strides, so that a transpose or a block costs nothing.
#pragma once
#include <cstdint>

#include "base/aligned.h"

namespace fedlora::factors {

template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0, cols = 0, row_stride = 0, col_stride = 1;

  T& operator()(int64_t i, int64_t j) const { return data[i * row_stride + j * col_stride]; }
  T* row(int64_t i) const { return data + i * row_stride; }
  MatrixView transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  MatrixView block(int64_t row, int64_t col, int64_t height, int64_t width) const {
    return {&(*this)(row, col), height, width, row_stride, col_stride};
  }
  operator MatrixView<const T>() const { return {data, rows, cols, row_stride, col_stride}; }
};

using View = MatrixView<double>;
using ConstView = MatrixView<const double>;

/// An owned matrix, row-major and dense, zeros at first.
class Matrix {
 public:
  Matrix() = default;
  Matrix(int64_t rows, int64_t cols) : values_(static_cast<size_t>(rows * cols)), rows_(rows), cols_(cols) {}

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  double* row(int64_t i) { return values_.data() + i * cols_; }
  const double* row(int64_t i) const { return values_.data() + i * cols_; }
  double& operator()(int64_t i, int64_t j) { return row(i)[j]; }
  double operator()(int64_t i, int64_t j) const { return row(i)[j]; }
  View view() { return {values_.data(), rows_, cols_, cols_, 1}; }
  ConstView view() const { return {values_.data(), rows_, cols_, cols_, 1}; }

 private:
  AlignedBuffer<double> values_;
  int64_t rows_ = 0, cols_ = 0;
};

}  // namespace fedlora::factors
