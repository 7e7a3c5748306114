#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "unicode/properties.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

AddedToken read_added_token(const Place& place) {
  AddedToken token;
  token.content = place.at("content").text();
  if (token.content.size() > longest_token) place.at("content").refuse("the token is longer than 65536 bytes");
  token.single_word = place.flag_or("single_word", false);
  token.lstrip = place.flag_or("lstrip", false);
  token.rstrip = place.flag_or("rstrip", false);
  token.special = place.flag_or("special", false);
  token.normalized = place.flag_or("normalized", !token.special);
  return token;
}

uint32_t AddedTokens::find(const std::string& content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? no_token : found->second;
}

const AddedToken* AddedTokens::token(uint32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second;
}

const std::string* AddedTokens::decoded(uint32_t id) const {
  if (const auto form = forms_.find(id); form != forms_.end()) return &form->second;
  const AddedToken* added = token(id);
  return added == nullptr ? nullptr : &added->content;
}

void AddedTokens::add(const std::vector<AddedToken>& tokens, const Model& model, const Normalize& normalize) {
  uint32_t next = end_ > model.size() || model.size() == 0 ? end_ : model.size();
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    uint32_t id = find(token.content);
    if (id != no_token && tokens_.at(id) == token) continue;
    if (id == no_token) id = model.vocabulary().find(token.content);
    if (id == no_token) {
      id = next++;
      if (id > largest_id || model.vocabulary().has(id))
        fail(Code::E_TOKENIZER, "added_tokens: %s would get the id %u, which belongs to %s: the ids of the vocabulary have holes.",
             quoted(token.content).c_str(), id, model.vocabulary().has(id) ? quoted(model.vocabulary().text(id)).c_str() : "none");
    }
    if (token.normalized) {
      std::string form = normalize(token.content);
      if (form != token.content) forms_[id] = std::move(form);
    }
    ids_[token.content] = id;
    if (token.special) specials_.insert(token.content);
    tokens_[id] = token;
    end_ = std::max(end_, id + 1);
  }
}

void AddedTokens::build() {
  std::vector<std::pair<std::string_view, uint32_t>> raw, normalized;
  for (const auto& [id, token] : tokens_) {
    const auto form = forms_.find(id);
    if (token.normalized)
      normalized.emplace_back(form == forms_.end() ? token.content : form->second, id);
    else
      raw.emplace_back(token.content, id);
  }
  std::sort(normalized.begin(), normalized.end());
  for (size_t i = 0; i < normalized.size(); ++i) {
    const std::string content = quoted(tokens_.at(normalized[i].second).content);
    if (normalized[i].first.empty())
      fail(Code::E_TOKENIZER, "added_tokens: nothing is left of %s when it is normalised; set its normalized to false.", content.c_str());
    if (i > 0 && normalized[i].first == normalized[i - 1].first)
      fail(Code::E_TOKENIZER, "added_tokens: %s and %s are the same when they are normalised.",
           quoted(tokens_.at(normalized[i - 1].second).content).c_str(), content.c_str());
  }
  raw_ = Trie(std::move(raw)), normalized_ = Trie(std::move(normalized));
}

void AddedTokens::split(const Trie& trie, std::string_view text, std::vector<Section>& out) const {
  const auto word_before = [&](size_t at) { return at > 0 && unicode::is_word(unicode::decode_before(text, at)); };
  const auto word_behind = [&](size_t at) { return at < text.size() && unicode::is_word(unicode::decode(text, at)); };
  size_t done = 0;
  for (size_t at = 0; !trie.empty() && at < text.size();) {
    // The longest token that begins here.
    uint32_t id = no_token;
    size_t end = at;
    uint32_t node = trie.child(Trie::root, static_cast<unsigned char>(text[at]));
    for (size_t next = at + 1; node != Trie::none; node = trie.child(node, static_cast<unsigned char>(text[next++]))) {
      if (trie.value(node) != no_token) id = trie.value(node), end = next;
      if (next == text.size()) break;
    }
    if (id == no_token) {
      ++at;
      continue;
    }
    size_t begin = at;
    at = end;
    const AddedToken& token = tokens_.at(id);
    if (token.single_word && (word_before(begin) || word_behind(end))) continue;
    if (token.lstrip) {  // as far as no earlier token took it
      size_t first = begin;
      for (size_t before = begin; first > 0 && unicode::is_white_space(unicode::decode_before(text, before));) first = before;
      begin = std::max(first, done);
    }
    if (token.rstrip)
      for (size_t next = end; end < text.size() && unicode::is_white_space(unicode::decode(text, next));) end = next;
    // A token may begin within the white space that the one before it took: both are given, unless nothing is left of it.
    if (done < begin) out.push_back({static_cast<uint32_t>(done), static_cast<uint32_t>(begin), no_token});
    if (begin < end) out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), id});
    done = end;
  }
  if (done < text.size()) out.push_back({static_cast<uint32_t>(done), static_cast<uint32_t>(text.size()), no_token});
}

}  // namespace fedlora::tokenizer
