/// Ignoring case, some strings equal one character: ss and ß, ffi and ﬃ. `LiteralRun` collects the characters of a sequence that match in
/// either case and lets each such string match its character too.
#pragma once
#include <string>
#include <vector>

#include "regex/bracket.h"
#include "regex/syntax.h"
#include "unicode/case.h"

namespace fedlora::regex {

class LiteralRun {
 public:
  /// Finished runs are appended to the children of `sequence`.
  explicit LiteralRun(Node& sequence) : sequence_(sequence) {}

  /// `node`: the set of the variants of `code`.
  void add(char32_t code, NodePointer node) {
    // ß itself stands for its string, of which the run then makes both.
    for (const auto& entry : unicode::case_strings()) {
      if (entry.code != code) continue;
      for (const char32_t part : entry.folded) nodes_.push_back({part, variants(part)});
      return;
    }
    nodes_.push_back({code, std::move(node)});
  }

  void finish() {
    size_t at = 0;
    for (; at < nodes_.size(); ++at) {
      if (!matches(at).empty()) break;
      sequence_.children.push_back(std::move(nodes_[at].node));
    }
    if (at < nodes_.size()) sequence_.children.push_back(build(at));
    nodes_.clear();
  }

 private:
  struct Literal {
    char32_t code;
    NodePointer node;
  };
  struct Match {
    size_t length;
    CodeSet codes;
  };

  static NodePointer variants(char32_t code) {
    NodePointer node = std::make_unique<Node>(Node::Kind::set);
    node->set = folded(CodeSet(code, code));
    return node;
  }

  /// The strings that begin at `at`, with the characters that equal them.
  std::vector<Match> matches(size_t at) const {
    std::vector<Match> out;
    for (const auto& entry : unicode::case_strings()) {
      const size_t length = entry.folded.size();
      if (at + length > nodes_.size()) continue;
      bool equal = true;
      for (size_t i = 0; i < length && equal; ++i)
        equal = nodes_[at + i].code == entry.folded[i] || variants(nodes_[at + i].code)->set.contains(entry.folded[i]);
      if (!equal) continue;
      const CodeSet codes = folded(CodeSet(entry.code, entry.code));
      if (!out.empty() && out.back().length == length) {
        out.back().codes.add(codes);
      } else {
        out.push_back({length, codes});
      }
    }
    return out;
  }

  /// The run from `at` on, with every way to read its strings as characters.
  NodePointer build(size_t at) const {
    NodePointer sequence = std::make_unique<Node>(Node::Kind::sequence);
    for (; at < nodes_.size(); ++at) {
      const std::vector<Match> found = matches(at);
      if (found.empty()) {
        sequence->children.push_back(variants(nodes_[at].code));
        continue;
      }
      if (++branches_ > most_branches)
        fail(Code::E_TOKENIZER, "A regular expression without case holds too many strings like ss, which equal one character.");
      NodePointer either = std::make_unique<Node>(Node::Kind::alternation);
      NodePointer plain = std::make_unique<Node>(Node::Kind::sequence);
      plain->children.push_back(variants(nodes_[at].code));
      plain->children.push_back(build(at + 1));
      either->children.push_back(std::move(plain));
      for (const Match& match : found) {
        NodePointer joined = std::make_unique<Node>(Node::Kind::sequence);
        joined->children.push_back(std::make_unique<Node>(Node::Kind::set));
        joined->children.back()->set = match.codes;
        joined->children.push_back(build(at + match.length));
        either->children.push_back(std::move(joined));
      }
      sequence->children.push_back(std::move(either));
      break;
    }
    return sequence;
  }

  static constexpr int most_branches = 500;

  Node& sequence_;
  std::vector<Literal> nodes_;
  mutable int branches_ = 0;
};

}  // namespace fedlora::regex
