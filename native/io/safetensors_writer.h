/// Writes a safetensors file front to back without holding it in memory. The file appears only when finish() returns.
#pragma once
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/safetensors_header.h"

namespace fedlora {

class SafetensorsWriter {
 public:
  /// Declares all tensors, in the order in which their bytes will come, and writes the header.
  /// Throws E_ARGUMENT (duplicate or reserved name), E_SHAPE, E_IO.
  SafetensorsWriter(const std::string& path, std::vector<TensorSpec> tensors, const Metadata& metadata);

  /// The next bytes of tensor `name`; one tensor may come in several pieces. Throws E_ARGUMENT when it is not this tensor's turn or
  /// the bytes are more than were declared, E_IO.
  void write(const std::string& name, const void* data, size_t bytes);

  /// Throws E_ARGUMENT when bytes are missing, E_IO.
  void finish();

 private:
  void skip_complete();

  std::vector<TensorSpec> tensors_;
  AtomicFile file_;
  size_t current_ = 0;  // the tensor whose bytes come next
  size_t written_ = 0;  // bytes of it so far
};

/// A tensor to be written: its bytes are its own, or borrowed from something that outlives it.
struct NamedTensor {
  TensorSpec spec;
  std::vector<uint8_t> owned;
  const void* borrowed = nullptr;

  const void* data() const { return borrowed != nullptr ? borrowed : owned.data(); }
};

/// The order in which the safetensors library lays tensors out: wide types first, then by name.
void sort_as_safetensors(std::vector<NamedTensor>& tensors);

/// Writes a whole file in the given order.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, const Metadata& metadata);

}  // namespace fedlora
