/// A checkpoint under the names of a description: what a stored name means, and whether the head is the embedding.
///
/// Names are matched as transformers does with a family's base_model_prefix ("model"): "layers.0…" of a checkpoint that was saved from
/// the bare decoder is "model.layers.0…", and "model.lm_head.weight" is "lm_head.weight".
///
/// Of a multimodal checkpoint, the names of its text part begin with one of the description's prefixes, which is taken away first.
///
/// Linear weights that are stored transposed are read as [N,K]; bitsandbytes' codes and packed weights are always of [N,K].
///
/// A tied head ("tie_word_embeddings") shares the table that is stored, be it the embedding's or the head's. Where both are stored and
/// differ, the checkpoint is right and the config is not: the head is its own table.
/// Source: transformers 5.24, core_model_loading.py (rename_source_key) and modeling_utils.py (tie_weights).
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "model/description.h"
#include "tensor/source.h"
#include "tensor/stored.h"

namespace fedlora {

class ModelTensors final : public TensorSource {
 public:
  /// `files`: safetensors, or the parts of a GGUF model, whose own names `stored` translates; `packed`: how the linear weights of the
  /// former are, which are then the float32 numbers that they stand for.
  /// Throws what Checkpoint and GgufTensors throw, E_FORMAT when two stored names mean the same tensor, and E_UNSUPPORTED when the head or
  /// the embedding is stored as bitsandbytes codes.
  ModelTensors(const std::vector<std::string>& files, const Description& description, const std::vector<StoredTensor>& stored = {},
               const PackedWeights& packed = {});

  /// By the description's names, in file order; other tensors under the names they are stored with.
  std::vector<std::string> names() const override { return names_; }
  bool has(const std::string& name) const override { return stored_.count(name) != 0; }
  TensorView get(const std::string& name) const override { return checkpoint_->get(stored(name)); }
  TensorView describe(const std::string& name) const override { return checkpoint_->describe(stored(name)); }
  void release(const std::string& name) const override { checkpoint_->release(stored(name)); }

  /// The name under which a tensor is written again: the description's; of a multimodal checkpoint, whose config asks for them, the file's.
  const std::string& written(const std::string& name) const { return text_prefixes_.empty() ? name : stored(name); }
  /// True when one table serves both ends.
  bool tied_head() const { return tied_head_; }
  /// Tensors that the description has no use for, buffers aside that follow from it: rotary tables and causal masks.
  std::vector<std::string> unused() const;
  /// E_MISSING listing what the description asks for and the checkpoint lacks, with the cure where one can be told; E_SHAPE for a
  /// tensor of another shape.
  void check(const Description& description) const;

 private:
  bool known(const std::string& name) const;
  std::string meaning(const std::string& name) const;
  std::string text_meaning(const std::string& name) const;
  std::unordered_set<std::string> stored_transposed(const TensorSource& source, const Description& description) const;
  const std::string& stored(const std::string& name) const;
  std::string missing_hint(const std::vector<std::string>& missing, const Description& description) const;

  std::unique_ptr<TensorSource> checkpoint_;
  std::string prefix_;  // with its dot
  std::vector<std::string> text_prefixes_;
  std::unordered_set<std::string> needed_;
  std::unordered_map<std::string, std::string> stored_;  // by meaning
  std::vector<std::string> names_;
  bool tied_head_ = false;
};

}  // namespace fedlora
