/// One prompt being continued: the prompt in one pass, then a token at a time against cached keys and values.
#pragma once
#include "engine/sampler.h"
#include "model/transformer.h"

namespace fedlora {

struct GenerationOptions {
  std::vector<int32_t> prompt;
  std::vector<int32_t> end_ids;  // each ends the generation and is its last token
  int64_t max_tokens = 0;        // at most what the model's positions leave beside the prompt
  SamplerOptions sampler;
};

/// Why a generation ended: an end token, max_tokens or the model's last position, or somebody stopped it.
enum class Finish { none, stop, length, aborted };

class Generation {
 public:
  /// Reserves nothing yet. E_ARGUMENT for ids outside the vocabulary, numbers out of range, or a prompt that fills the model's positions.
  Generation(const Description& description, GenerationOptions options);

  /// Up to `count` further tokens, fewer when it ends; none once it has. The prompt runs with the first call.
  /// Nothing is lost by a failure: tokens that were made before it are given, and the next call meets it (a first one at once); a call that
  /// failed may be tried again. E_BUSY when the adapter's values are no longer those that the cached keys and values were made with.
  std::vector<int32_t> next(Transformer& transformer, const Adapter* adapter, int64_t count);
  /// No further tokens.
  void abort() {
    if (finish_ == Finish::none) finish_ = Finish::aborted;
  }
  /// Lets go of the cache.
  void release() { cache_ = KvCache(); }

  Finish finish() const { return finish_; }
  int64_t prompt_tokens() const { return static_cast<int64_t>(options_.prompt.size()); }
  /// Tokens made so far, an end token included.
  int64_t completion_tokens() const { return made_; }

 private:
  void advance(Transformer& transformer, const Adapter* adapter);

  GenerationOptions options_;
  Sampler sampler_;
  KvCache cache_;  // empty until the prompt has run
  uint64_t adapter_version_ = 0;
  std::vector<float> logits_;  // [V] after the last token
  int32_t waiting_ = -1;       // the last token, while `logits_` are still those before it
  std::vector<int32_t> ids_;   // the prompt and what was made
  int64_t made_ = 0;
  Finish finish_ = Finish::none;
};

}  // namespace fedlora
