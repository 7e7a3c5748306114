/// Writes a GGUF file (version 3) front to back without holding it in memory. The file appears only when finish() returns.
#pragma once
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/gguf_header.h"
#include "io/safetensors_header.h"

namespace fedlora {

/// A key with bytes of its own, in the file's encoding.
struct GgufField {
  std::string name;
  GgufType type = GgufType::u32;  // of a list: of its elements
  bool is_list = false;
  uint64_t count = 1;
  std::string bytes;
};

GgufField gguf_text(const std::string& name, const std::string& text);
GgufField gguf_whole(const std::string& name, uint32_t number);

/// A string as it stands in a file: its length, its bytes.
std::string gguf_string(std::string_view text);

class GgufWriter {
 public:
  /// Declares all tensors in the order in which their bytes will come (shapes row-major), and writes the header. Alignment is 32.
  /// Throws E_ARGUMENT (a name twice, empty or too long), E_SHAPE, E_DTYPE, E_IO.
  GgufWriter(const std::string& path, const std::vector<GgufField>& fields, std::vector<TensorSpec> tensors);

  /// The next bytes of the next tensor; one tensor may come in several pieces. E_ARGUMENT for more than was declared, E_IO.
  void write(const void* data, size_t bytes);
  /// Throws E_ARGUMENT when bytes are missing, E_IO.
  void finish();

 private:
  void end_complete();

  std::vector<TensorSpec> tensors_;
  AtomicFile file_;
  size_t current_ = 0, written_ = 0;
};

}  // namespace fedlora
