/// Operands of a bench in the backend's activation type.
#pragma once
#include <cmath>

#include "backend/ops.h"
#include "base/half.h"
#include "quant/random_matrix.h"

namespace fedlora {

class BenchActivations {
 public:
  BenchActivations(Compute compute, int64_t count) : f32_(compute == Compute::f32), bytes_(static_cast<size_t>(count) * (f32_ ? 4 : 2)) {}

  void fill(RandomWords& words, float bound) {
    for (int64_t i = 0; i < count(); ++i) {
      const float x = words.symmetric(bound);
      if (f32_)
        reinterpret_cast<float*>(bytes_.data())[i] = x;
      else
        reinterpret_cast<bf16*>(bytes_.data())[i] = to_bf16(x);
    }
  }
  int64_t count() const { return static_cast<int64_t>(bytes_.size()) / (f32_ ? 4 : 2); }
  double operator[](int64_t i) const {
    return f32_ ? reinterpret_cast<const float*>(bytes_.data())[i] : to_f32(reinterpret_cast<const bf16*>(bytes_.data())[i]);
  }
  Activation data() { return bytes_.data(); }

 private:
  bool f32_;
  AlignedBuffer<uint8_t> bytes_;
};

/// The larger of two errors; unlike fmax, NaN wins.
inline double worse(double a, double b) { return std::isnan(a) || b <= a ? a : b; }

/// |got − Σ terms| / Σ |terms|.
struct CheckedSum {
  double sum = 0, magnitude = 0;
  void add(double term) { sum += term, magnitude += std::fabs(term); }
  double error(double got) const { return std::fabs(got - sum) / (magnitude > 0 ? magnitude : 1); }
};

}  // namespace fedlora
