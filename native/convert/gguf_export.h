/// A model as one GGUF file, an adapter added into its weights or not.
#pragma once
#include <string>
#include <vector>

#include "convert/rewrite.h"
#include "io/gguf_writer.h"
#include "model/adapter.h"
#include "tensor/stored.h"

namespace fedlora {

/// A tensor of the file and what it is made of.
struct GgufPart {
  std::string name;            // the file's
  std::string from;            // the description's name, or one that the source stores it under
  RowSwap swap;                // of the rows of the file that is written
  float add = 0;               // to every number, before rounding
  std::vector<float> numbers;  // when `from` is empty: a vector of these
};

struct GgufExport {
  std::vector<std::string> files;    // of the model that is read
  std::vector<StoredTensor> stored;  // what they call otherwise, being GGUF
  PackedWeights packed;              // how others have packed the linear weights
  std::string output;
  DType type = DType::f16;  // of the matrices; vectors are F32
  std::vector<GgufField> fields;
  /// Keys of the model's own GGUF file go in front, those of `fields` in place of theirs.
  bool keep_fields = false;
  std::vector<GgufPart> parts;
};

/// Writes the parts in order, each matrix row by row: decoded, the adapter's product added in float32, rounded once. A matrix whose rows
/// are no whole blocks is F16, as llama.cpp's converter has it; `changed` counts the layers that the adapter changed. E_NONFINITE, naming
/// tensor and place, when a sum is beyond the type; nothing is left at `output` then.
RewriteResult export_gguf(const GgufExport& request, const Description& description, const Adapter* adapter);

}  // namespace fedlora
