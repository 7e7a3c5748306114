/// A trie over the bytes of tokens. The children of a node lie side by side, in the order of their bytes.
#pragma once
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace fedlora::tokenizer {

class Trie {
 public:
  static constexpr uint32_t root = 0, none = UINT32_MAX;

  Trie() = default;
  /// Empty texts are left out; of equal texts the last one's value counts.
  explicit Trie(std::vector<std::pair<std::string_view, uint32_t>> tokens);

  bool empty() const { return nodes_.size() <= 1; }
  /// The child by one byte, or `none`.
  uint32_t child(uint32_t node, unsigned char byte) const {
    if (node == root) return first_[byte];
    uint32_t at = nodes_[node].children;
    const uint32_t end = nodes_[node + 1].children;
    for (; end - at > 8;) {  // many children: halve first
      const uint32_t middle = at + (end - at) / 2;
      if (bytes_[middle] > byte) return search(at, middle, byte);
      at = middle;
    }
    return search(at, end, byte);
  }
  /// The value of the text that ends at the node, or `no_token`.
  uint32_t value(uint32_t node) const { return nodes_[node].value; }
  /// The node that `text` leads to from `node`, or `none`.
  uint32_t walk(uint32_t node, std::string_view text) const {
    for (size_t i = 0; node != none && i < text.size(); ++i) node = child(node, static_cast<unsigned char>(text[i]));
    return node;
  }

 private:
  struct Node {
    uint32_t children = 0;  // the first of them; those of node n end where those of n + 1 begin
    uint32_t value = no_token;
  };
  uint32_t search(uint32_t at, uint32_t end, unsigned char byte) const {
    for (; at < end; ++at)
      if (bytes_[at] == byte) return at;
    return none;
  }

  std::vector<Node> nodes_;           // breadth first, one more at the end
  std::vector<unsigned char> bytes_;  // by node: the byte that leads to it
  std::vector<uint32_t> first_ = std::vector<uint32_t>(256, none);
};

}  // namespace fedlora::tokenizer
