#include "engine/generation.h"

#include <algorithm>

#include "base/error.h"

namespace fedlora {

Generation::Generation(const Description& description, GenerationOptions options)
    : options_(std::move(options)), sampler_(options_.sampler) {
  const SamplerOptions& sampler = options_.sampler;
  if (!(sampler.temperature >= 0)) fail(Code::E_ARGUMENT, "temperature is %g, expected 0 (greedy) or more", sampler.temperature);
  if (!(sampler.top_p > 0 && sampler.top_p <= 1)) fail(Code::E_ARGUMENT, "topP is %g, expected more than 0 and at most 1", sampler.top_p);
  const int32_t length = static_cast<int32_t>(options_.prompt.size());
  make_batch(description, options_.prompt, {}, {&length, 1});  // checks the ids
  options_.max_tokens = std::min<int64_t>(options_.max_tokens, description.max_positions - length);
  if (options_.max_tokens < 1)
    fail(Code::E_ARGUMENT, "the prompt has %d tokens and fills the model's %lld positions", length,
         static_cast<long long>(description.max_positions));
}

/// Leaves the logits after the last token in `logits_`.
void Generation::advance(Transformer& transformer, const Adapter* adapter) {
  if (cache_.capacity() == 0) {
    KvCache cache = transformer.make_cache(prompt_tokens() + options_.max_tokens);
    logits_.resize(static_cast<size_t>(transformer.description().vocabulary));
    ids_ = options_.prompt;
    transformer.prefill(ids_, adapter, cache, logits_.data());
    cache_ = std::move(cache);
    adapter_version_ = adapter == nullptr ? 0 : adapter->version;
    return;
  }
  if (adapter != nullptr && adapter->version != adapter_version_)
    fail(Code::E_BUSY,
         "the adapter has changed since this generation began: its first %lld tokens belong to the earlier values; begin a new generation",
         static_cast<long long>(made_));
  if (waiting_ < 0) return;
  if (rotated_anew(transformer.description(), cache_.length + 1))
    transformer.prefill(ids_, adapter, cache_, logits_.data());
  else
    transformer.decode(waiting_, adapter, cache_, logits_.data());
  waiting_ = -1;
}

std::vector<int32_t> Generation::next(Transformer& transformer, const Adapter* adapter, int64_t count) {
  std::vector<int32_t> ids;
  ids.reserve(static_cast<size_t>(std::min(count, options_.max_tokens - made_)));
  try {
    while (finish_ == Finish::none && static_cast<int64_t>(ids.size()) < count) {
      advance(transformer, adapter);
      const int32_t id = sampler_.pick(logits_, static_cast<uint64_t>(made_));
      ids.push_back(id);
      waiting_ = id;
      ids_.push_back(id);
      ++made_;
      if (std::find(options_.end_ids.begin(), options_.end_ids.end(), id) != options_.end_ids.end())
        finish_ = Finish::stop;
      else if (made_ >= options_.max_tokens)
        finish_ = Finish::length;
    }
  } catch (...) {
    if (ids.empty()) throw;
  }
  return ids;
}

}  // namespace fedlora
