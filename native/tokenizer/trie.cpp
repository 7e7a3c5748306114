#include "tokenizer/trie.h"

#include <algorithm>

namespace fedlora::tokenizer {

Trie::Trie(std::vector<std::pair<std::string_view, uint32_t>> tokens) {
  std::erase_if(tokens, [](const auto& token) { return token.first.empty(); });
  std::stable_sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  // Breadth first: a node is a stretch of the sorted texts that share their first `depth` bytes.
  struct Stretch {
    size_t begin, end, depth;
  };
  std::vector<Stretch> stretches{{0, tokens.size(), 0}};
  nodes_.push_back({1, no_token});
  bytes_.push_back(0);
  for (size_t node = 0; node < stretches.size(); ++node) {
    auto [at, end, depth] = stretches[node];
    for (; at < end && tokens[at].first.size() == depth; ++at) nodes_[node].value = tokens[at].second;
    nodes_[node].children = static_cast<uint32_t>(stretches.size());
    while (at < end) {
      const auto byte = static_cast<unsigned char>(tokens[at].first[depth]);
      size_t next = at + 1;
      while (next < end && static_cast<unsigned char>(tokens[next].first[depth]) == byte) ++next;
      if (node == root) first_[byte] = static_cast<uint32_t>(stretches.size());
      stretches.push_back({at, next, depth + 1});
      nodes_.emplace_back();
      bytes_.push_back(byte);
      at = next;
    }
  }
  nodes_.push_back({static_cast<uint32_t>(stretches.size()), no_token});
}

}  // namespace fedlora::tokenizer
