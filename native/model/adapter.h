/// The trainable part: one flat float32 vector plus a layout. Gradients and optimiser moments are vectors of the same layout.
/// For each adapted linear layer, in forward order: A [R,K], then B [N,R].
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/memory.h"
#include "base/range.h"
#include "model/description.h"

namespace fedlora {

class Residual;

/// The largest rank of a layer.
inline constexpr int most_rank = 4096;

struct AdapterLayer {
  std::string module;  // full name without ".weight"
  int rank = 0;
  float scaling = 0;  // alpha / rank, or alpha / √rank for rsLoRA
  float dropout = 0;
};

/// Where one adapted layer's factors lie in the flat vector.
struct AdapterSlot {
  int rank = 0;  // 0: not adapted
  float scaling = 0, dropout = 0;
  int64_t A = 0, B = 0, end = 0;  // A is the elements [A, B) of the vector, B is [B, end)
};

/// What a tensor of the flat vector is to its layer.
enum class Part { lora_A, lora_B, residual_A, residual_B };
/// In the name of every such tensor, the first two as PEFT spells them; no base model has one.
inline constexpr const char* part_name[] = {"lora_A", "lora_B", "residual_A", "residual_B"};

/// One tensor of one adapted layer.
struct TensorLayout {
  std::string name;  // PEFT's: base_model.model.<module>.lora_A.weight
  Part part = Part::lora_A;
  int64_t rows = 0, columns = 0, offset = 0;
  int64_t size() const { return rows * columns; }
  Range range() const { return {offset, offset + size()}; }
};

/// Which layers are adapted and where their factors lie.
class AdapterMap {
 public:
  /// E_MISSING when a module is not a linear layer of the model, E_ARGUMENT for a rank or dropout out of range or a
  /// module named twice.
  AdapterMap(const Description& description, const std::vector<AdapterLayer>& layers);

  const AdapterSlot& slot(int64_t layer, int place) const { return slots_[static_cast<size_t>(layer * linears_per_layer + place)]; }
  const std::vector<AdapterSlot>& slots() const { return slots_; }  // [layers × linears_per_layer]
  const std::vector<TensorLayout>& layout() const { return layout_; }
  /// Elements of the flat vector.
  int64_t size() const { return size_; }

 protected:
  std::vector<AdapterSlot> slots_;
  std::vector<TensorLayout> layout_;
  int64_t size_ = 0;
};

class Adapter : public AdapterMap {
 public:
  /// Zeros, in the memory of the backend that is to train or apply it.
  explicit Adapter(AdapterMap map, std::shared_ptr<Memory> memory = host_memory())
      : AdapterMap(std::move(map)), values(std::move(memory), static_cast<size_t>(size_)) {}

  /// PEFT's initialisation: A uniform in ±1/√K (Kaiming with a = √5), B zero; every element addressed by (seed, slot, index).
  void initialize(uint64_t seed);
  /// All values at once. E_SHAPE for another number of them, E_NONFINITE for a NaN or infinity; nothing is written then.
  void write(std::span<const float> given);
  /// Frozen factors beside the trained ones (residual.h), made for this adapter's map; null: none.
  void set_residual(std::shared_ptr<const Residual> residual) {
    residual_ = std::move(residual);
    ++version;
  }
  const std::shared_ptr<const Residual>& residual() const { return residual_; }

  Buffer<float> values;
  /// Grows whenever `values` or the residual change: what was computed with an earlier version (cached keys and values) no longer belongs
  /// to them.
  uint64_t version = 0;

 private:
  std::shared_ptr<const Residual> residual_;
};

}  // namespace fedlora
