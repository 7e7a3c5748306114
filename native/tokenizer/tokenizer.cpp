#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "tokenizer/byte_level.h"
#include "unicode/properties.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {

/// White space at both ends of a token's text, in characters, as trimming offsets counts it: the character of a space byte, too.
struct Edges {
  uint32_t left, right;
};

Edges edges_of(std::string_view text) {
  const auto blank = [](char32_t point) { return point == 0x120 || unicode::is_white_space(point); };
  Edges edges{0, 0};
  for (size_t at = 0; at < text.size() && blank(unicode::decode(text, at)); ++edges.left) continue;
  for (size_t at = text.size(); at > 0 && blank(unicode::decode_before(text, at)); ++edges.right) continue;
  return edges;
}

/// Moves a span's ends inwards by characters of the text.
void trim(std::string_view text, Span& span, Edges edges, bool keep_prefix, bool first) {
  if (edges.left == 1 && keep_prefix && (first || span.begin == 0)) edges.left = 0;
  const auto end = std::min<size_t>(span.end, text.size());
  size_t at = span.begin;
  for (uint32_t i = 0; i < edges.left && at < end; ++i) unicode::decode(text, at);
  span.begin = std::min(static_cast<uint32_t>(at), std::max(span.begin, span.end));
  size_t back = end;
  uint32_t steps = 0;
  for (; steps < edges.right && back > 0; ++steps) unicode::decode_before(text, back);
  if (edges.right > 0 && steps == edges.right) span.end = std::max(static_cast<uint32_t>(back), span.begin);
}

}  // namespace

/// One text on its way.
class Tokenizer::Run {
 public:
  Run(const Tokenizer& tokenizer, std::string_view source, const EncodeOptions& options, Work& work, Encoding& out)
      : it_(tokenizer), source_(source), options_(options), work_(work), out_(out), trims_(options.spans && !it_.post_.trims.empty()) {}

  void go() {
    if (options_.special_tokens) surround(it_.post_.prefix);
    const size_t first = out_.ids.size();
    std::vector<AddedTokens::Section> sections;
    it_.added_.split_raw(source_, sections);
    for (const auto& section : sections) {
      const std::string_view text = source_.substr(section.begin, section.end - section.begin);
      if (section.id != no_token)
        push(section.id, {section.begin, section.end}, text);
      else
        normalize({std::string(text), {}, section.begin});
    }
    if (trims_)
      for (const PostProcessing::Trim& how : it_.post_.trims)
        for (size_t i = first; i < out_.ids.size(); ++i) trim(source_, out_.spans[i], edges_[i - first], how.keep_prefix, i == first);
    if (options_.special_tokens) surround(it_.post_.suffix);
  }

 private:
  void surround(const std::vector<uint32_t>& ids) {
    out_.ids.insert(out_.ids.end(), ids.begin(), ids.end());
    if (options_.spans) out_.spans.resize(out_.ids.size());
  }

  void push(uint32_t id, Span span, std::string_view text) {
    out_.ids.push_back(id);
    if (options_.spans) out_.spans.push_back(span);
    if (trims_) edges_.push_back(edges_of(text));
  }

  void normalize(AlignedText text) {
    const bool continues = options_.continues && text.start == 0 && it_.prepends_;
    if (const Normalizer* normalizer = continues ? it_.continuing_normalizer_.get() : it_.normalizer_.get()) normalizer->apply(text);
    if (text.text.empty()) return;
    if (!it_.added_.any_normalized()) return encode_words(std::move(text));
    std::vector<AddedTokens::Section> sections;
    it_.added_.split_normalized(text.text, sections);
    if (sections.size() == 1 && sections[0].id == no_token) return encode_words(std::move(text));
    for (const auto& section : sections) {
      AlignedText part;
      part.text = text.text.substr(section.begin, section.end - section.begin);
      if (text.is_source())
        part.start = text.start + section.begin;
      else
        part.origin.assign(text.origin.begin() + section.begin, text.origin.begin() + section.end);
      if (section.id == no_token) {
        encode_words(std::move(part));
      } else {
        const Span span = part.is_source() ? Span{part.start, part.start + section.end - section.begin}
                                           : Span{part.origin.front().begin, part.origin.back().end};
        push(section.id, span, part.text);
      }
    }
  }

  void encode_words(AlignedText text) {
    Pieces pieces;
    pieces.ranges.push_back({0, static_cast<uint32_t>(text.text.size())});
    pieces.text = std::move(text);
    pieces.continues = options_.continues;
    if (it_.pre_tokenizer_) it_.pre_tokenizer_->apply(pieces);
    for (const Range range : pieces.ranges) {
      work_.check();
      work_.tokens.clear();
      const std::string_view word = pieces.view(range);
      if (pieces.as_bytes)
        encode_bytes(word);
      else
        it_.model_->encode(word, work_, work_.tokens);
      if (!options_.spans) {
        for (const Token& token : work_.tokens) out_.ids.push_back(token.id);
        continue;
      }
      for (const Token& token : work_.tokens) {
        const bool spelt = it_.model_->spells(token.id) && token.begin < token.end && token.end <= word.size();
        std::string_view spelling = spelt ? word.substr(token.begin, token.end - token.begin) : it_.model_->vocabulary().text(token.id);
        if (spelt && pieces.as_bytes) {
          work_.alphabet.clear();
          append_byte_level(work_.alphabet, spelling);
          spelling = work_.alphabet;
        }
        push(token.id, span_of(pieces, range, token), spelling);
      }
    }
  }

  /// The tokens of a word that stands for its bytes in the byte-level alphabet, in bytes of the word.
  void encode_bytes(std::string_view word) {
    WordMemory::Entry* entry = work_.words.entry(word, WordMemory::bytes);
    if (entry != nullptr && entry->append_to(work_.tokens)) return;
    work_.alphabet.clear();
    append_byte_level(work_.alphabet, word);
    it_.model_->cut(work_.alphabet, work_, work_.tokens);
    // Tokens are in order: one walk over the characters. What a token holds a part of, it holds.
    uint32_t at = 0, byte = 0;
    const auto width = [&] { return byte_alphabet()[static_cast<unsigned char>(word[byte])] < 0x80 ? 1u : 2u; };
    const auto walk = [&](uint32_t target) {
      if (target < at) at = byte = 0;
      while (byte < word.size() && at + width() <= target) at += width(), ++byte;
    };
    for (Token& token : work_.tokens) {
      walk(token.begin), token.begin = byte;
      walk(token.end), token.end = byte + (at < token.end);
    }
    if (entry != nullptr) entry->keep(word, WordMemory::bytes, work_.tokens.data(), work_.tokens.size());
  }

  static Span span_of(const Pieces& pieces, Range range, const Token& token) {
    // A model that leaves characters out counts on as if they were not there; what runs over the end is given as it is.
    const uint32_t begin = range.begin + token.begin, end = range.begin + token.end;
    if (token.begin == token.end) return {pieces.source_of(range) + token.begin, pieces.source_of(range) + token.end};
    if (end > range.end) return {token.begin, token.end};
    const AlignedText& text = pieces.text;
    if (!text.is_source()) return {text.origin[begin].begin, text.origin[end - 1].end};
    // Whole characters, also of tokens that are a part of one.
    uint32_t first = begin, last = end;
    while (first > 0 && unicode::is_continuation(text.text[first])) --first;
    while (last < text.text.size() && unicode::is_continuation(text.text[last])) ++last;
    return {text.start + first, text.start + last};
  }

  const Tokenizer& it_;
  std::string_view source_;
  const EncodeOptions& options_;
  Work& work_;
  Encoding& out_;
  bool trims_;
  std::vector<Edges> edges_;
};

void Tokenizer::encode(std::string_view text, const EncodeOptions& options, Work& work, Encoding& out) const {
  Run(*this, text, options, work, out).go();
}

std::string Tokenizer::decode(std::span<const uint32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const uint32_t id : ids) {
    std::string text;
    if (const std::string* added = added_.decoded(id))
      text = *added;
    else if (model_->vocabulary().has(id))
      text = model_->vocabulary().text(id);
    else
      continue;
    if (!(skip_special_tokens && added_.is_special(text))) texts.push_back(std::move(text));
  }
  if (decoder_) decoder_->apply(texts);
  std::string out;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!decoder_ && i > 0) out += ' ';
    out += texts[i];
  }
  return out;
}

uint32_t Tokenizer::find(const std::string& token) const {
  const uint32_t id = added_.find(token);
  return id != no_token ? id : model_->vocabulary().find(token);
}

std::vector<uint32_t> Tokenizer::special_tokens() const {
  std::vector<uint32_t> out;
  for (const auto& [id, token] : added_.tokens())
    if (token.special) out.push_back(id);
  std::sort(out.begin(), out.end());
  return out;
}

std::string Tokenizer::normalized(const std::string& text) const {
  if (!normalizer_) return text;
  AlignedText aligned{text, {}, 0};
  normalizer_->apply(aligned);
  return std::move(aligned.text);
}

}  // namespace fedlora::tokenizer
