/// Linear weights that GPTQ, AWQ or an FP8 recipe has packed, as the float32 numbers that they stand for: <p>.weight [N, K] in the place of
/// its parts, of which G groups of rows share scales.
///
///   GPTQ   <p>.qweight I32 [K/8, N]   a word holds rows 8i … 8i+7 of its column, from the low four bits up
///          <p>.qzeros  I32 [G, N/8]   a word holds columns 8j … 8j+7, each stored minus one (by "gptq_v2" as it is)
///          <p>.scales  F16 [G, N]     <p>.g_idx I32 [K], the group of a row; absent: k / (K/G)
///   AWQ    <p>.qweight I32 [K, N/8], <p>.qzeros I32 [G, N/8], <p>.scales F16 [G, N]: the nibbles of a word are columns 8j + {0, 2, 4, 6,
///   1, 3, 5, 7}
///          w[n, k] = scales[g(k), n] · (q[k, n] − z[g(k), n]), a product of eleven and five bits: exact
///   FP8    <p>.weight F8_E4M3 [N, K] with <p>.weight_scale_inv [⌈N/rows⌉, ⌈K/columns⌉] of blocks, or <p>.weight_scale, one number, [N] or
///   [N, 1]
///          w[n, k] = scale · e4m3(code), rounded to float32
/// Source: AutoGPTQ, qlinear_cuda_old.py (pack); GPTQModel, docs on gptq_v2; AutoAWQ, packing_utils.py and gemm.py; DeepSeek-V3,
/// inference/kernel.py (weight_dequant); OCP 8-bit floating point specification 1.0 for E4M3.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/made_tensors.h"
#include "tensor/source.h"
#include "tensor/stored.h"

namespace fedlora {

/// The number that an E4M3 code stands for: 1-4-3 bits, bias 7, no infinities, NaN for 0x7f and 0xff.
float e4m3_value(uint8_t code);

class PackedCheckpoint final : public TensorSource {
 public:
  /// Throws E_MISSING for parts without their others, E_FORMAT where nothing is packed.
  PackedCheckpoint(std::unique_ptr<TensorSource> source, const PackedWeights& packed);

  std::vector<std::string> names() const override { return names_; }
  bool has(const std::string& name) const override { return parts_.count(name) != 0 || (plain(name) && source_->has(name)); }
  /// Weights are decoded; the view lives until `release`, and decoding is not for several threads.
  /// Throws E_SHAPE, E_DTYPE, E_FORMAT (a group that is none), E_NONFINITE, each naming the tensor.
  TensorView get(const std::string& name) const override;
  TensorView describe(const std::string& name) const override;
  void release(const std::string& name) const override;

 private:
  /// Not a part of a packed weight.
  bool plain(const std::string& name) const { return weight_of_.count(name) == 0; }

  std::unique_ptr<TensorSource> source_;
  PackedWeights packed_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::vector<std::string>> parts_;  // by weight: the stored names it is made of
  std::unordered_map<std::string, std::string> weight_of_;           // by part
  mutable MadeTensors<float> decoded_;
};

}  // namespace fedlora
