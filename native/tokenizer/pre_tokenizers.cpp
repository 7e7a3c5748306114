#include "tokenizer/pre_tokenizers.h"

#include "tokenizer/byte_level.h"
#include "tokenizer/split.h"
#include "unicode/properties.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {

/// Writes a changed text beside the old one; what is written has the origin of an old byte.
class Rewriting {
 public:
  explicit Rewriting(Pieces& pieces) : pieces_(pieces), old_(std::move(pieces.text)) {
    old_.write_origin();
    new_.text.reserve(old_.text.size() + old_.text.size() / 4 + 16);
    new_.origin.reserve(new_.text.capacity());
    ranges_.reserve(pieces.ranges.size());
  }
  std::string_view text(Range range) const { return std::string_view(old_.text).substr(range.begin, range.end - range.begin); }
  Span origin(uint32_t at) const { return old_.origin[at]; }
  void begin() { begin_ = static_cast<uint32_t>(new_.text.size()); }
  void write(std::string_view text, Span origin) {
    new_.text += text;
    new_.origin.insert(new_.origin.end(), text.size(), origin);
  }
  void copy(uint32_t begin, uint32_t end) {
    new_.text.append(old_.text, begin, end - begin);
    new_.origin.insert(new_.origin.end(), old_.origin.begin() + begin, old_.origin.begin() + end);
  }
  void end() { ranges_.push_back({begin_, static_cast<uint32_t>(new_.text.size())}); }
  ~Rewriting() { pieces_.text = std::move(new_), pieces_.ranges = std::move(ranges_); }

 private:
  Pieces& pieces_;
  AlignedText old_, new_;
  std::vector<Range> ranges_;
  uint32_t begin_ = 0;
};

/// Whether a word may take a dummy prefix.
bool takes_prefix(const Pieces& pieces, Range range) { return !(pieces.continues && pieces.source_of(range) == 0); }

/// Cuts every piece at the characters that `is_delimiter` names.
template <class IsDelimiter>
void split_at(Pieces& pieces, Behavior behavior, IsDelimiter is_delimiter) {
  std::vector<Range> words;
  std::vector<Part> parts;
  words.reserve(pieces.ranges.size() * 2);
  for (const Range range : pieces.ranges) {
    const std::string_view text = pieces.view(range);
    size_t done = 0;
    for (size_t at = 0, next = 0; at < text.size(); at = next) {
      if (!is_delimiter(unicode::decode(text, next))) continue;
      if (done < at) parts.push_back({static_cast<uint32_t>(done), static_cast<uint32_t>(at), false});
      parts.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(next), true});
      done = next;
    }
    if (done < text.size()) parts.push_back({static_cast<uint32_t>(done), static_cast<uint32_t>(text.size()), false});
    append_words(parts, behavior, range.begin, words);
  }
  pieces.ranges = std::move(words);
}

class ByteLevel final : public PreTokenizer {
 public:
  explicit ByteLevel(const Place& place)
      : add_prefix_space_(place.at("add_prefix_space").flag()), use_regex_(place.flag_or("use_regex", true)) {}
  bool ends_at_spaces() const override { return use_regex_; }

  void apply(Pieces& pieces) const override {
    if (add_prefix_space_) add_prefix_spaces(pieces);
    if (use_regex_) {
      std::vector<Range> words;
      words.reserve(pieces.text.text.size() / 4 + pieces.ranges.size());
      for (const Range range : pieces.ranges)
        for_each_word(pieces.view(range), [&](size_t begin, size_t end) {
          words.push_back({range.begin + static_cast<uint32_t>(begin), range.begin + static_cast<uint32_t>(end)});
        });
      pieces.ranges = std::move(words);
    }
    pieces.as_bytes = true;
  }

 private:
  static void add_prefix_spaces(Pieces& pieces) {
    const auto wants = [&](Range range) { return pieces.text.text[range.begin] != ' ' && takes_prefix(pieces, range); };
    bool any = false;
    for (const Range range : pieces.ranges) any = any || wants(range);
    if (!any) return;
    std::vector<bool> prefixed;
    for (const Range range : pieces.ranges) prefixed.push_back(wants(range));
    std::vector<Range> ranges = pieces.ranges;
    Rewriting rewriting(pieces);
    for (size_t i = 0; i < ranges.size(); ++i) {
      rewriting.begin();
      if (prefixed[i]) rewriting.write(" ", rewriting.origin(ranges[i].begin));
      rewriting.copy(ranges[i].begin, ranges[i].end);
      rewriting.end();
    }
  }
  bool add_prefix_space_, use_regex_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(const Place& place) {
    const Place replacement = place.at("replacement");
    point_ = replacement.character(), text_ = replacement.text();
    const std::string scheme = place.text_or("prepend_scheme", "always");
    if (scheme != "always" && scheme != "first" && scheme != "never")
      place.at("prepend_scheme").refuse("expected always, first or never, got " + quoted(scheme));
    if (!place.flag_or("add_prefix_space", true) && scheme != "never")
      place.at("add_prefix_space").refuse("false contradicts the prepend_scheme " + quoted(scheme));
    always_ = scheme == "always", first_ = scheme == "first";
    split_ = place.flag_or("split", true);
  }
  bool ends_at_spaces() const override { return split_; }

  void apply(Pieces& pieces) const override {
    std::vector<bool> prefixed;
    for (const Range range : pieces.ranges) {
      const std::string_view text = pieces.view(range);
      const bool begins = text.starts_with(' ') || text.starts_with(text_);
      prefixed.push_back(!begins && (always_ || (first_ && pieces.source_of(range) == 0)) && takes_prefix(pieces, range));
    }
    const std::vector<Range> ranges = pieces.ranges;
    {
      Rewriting rewriting(pieces);
      for (size_t i = 0; i < ranges.size(); ++i) {
        const Range range = ranges[i];
        const std::string_view text = rewriting.text(range);
        rewriting.begin();
        if (prefixed[i]) rewriting.write(text_, rewriting.origin(range.begin));
        for (size_t at = 0; at < text.size();) {
          const size_t space = std::min(text.find(' ', at), text.size());
          rewriting.copy(range.begin + static_cast<uint32_t>(at), range.begin + static_cast<uint32_t>(space));
          if (space < text.size()) rewriting.write(text_, rewriting.origin(range.begin + static_cast<uint32_t>(space)));
          at = space + 1;
        }
        rewriting.end();
      }
    }
    if (split_) split_at(pieces, Behavior::merged_with_next, [this](char32_t point) { return point == point_; });
  }

 private:
  char32_t point_;
  std::string text_;
  bool always_, first_, split_;
};

/// \w+|[^\w\s]+
class Whitespace final : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    enum Class { space, word, other };
    std::vector<Range> words;
    for (const Range range : pieces.ranges) {
      const std::string_view text = pieces.view(range);
      Class before = space;
      size_t begin = 0;
      const auto close = [&](size_t end) {
        if (before != space) words.push_back({range.begin + static_cast<uint32_t>(begin), range.begin + static_cast<uint32_t>(end)});
      };
      for (size_t at = 0, next = 0; at < text.size(); at = next) {
        const char32_t point = unicode::decode(text, next);
        const Class here = unicode::is_word(point) ? word : unicode::is_white_space(point) ? space : other;
        if (here == before) continue;
        close(at);
        begin = at, before = here;
      }
      close(text.size());
    }
    pieces.ranges = std::move(words);
  }
};

class WhitespaceSplit final : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override { split_at(pieces, Behavior::removed, unicode::is_white_space); }
};

class BertPreTokenizer final : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    split_at(pieces, Behavior::removed, unicode::is_white_space);
    split_at(pieces, Behavior::isolated, unicode::is_punctuation);
  }
};

class Punctuation final : public PreTokenizer {
 public:
  explicit Punctuation(const Place& place) : behavior_(place.has("behavior") ? read_behavior(place.at("behavior")) : Behavior::isolated) {}
  void apply(Pieces& pieces) const override { split_at(pieces, behavior_, unicode::is_punctuation); }
  bool ends_at_spaces() const override { return false; }

 private:
  Behavior behavior_;
};

class Digits final : public PreTokenizer {
 public:
  explicit Digits(const Place& place) : behavior_(place.at("individual_digits").flag() ? Behavior::isolated : Behavior::contiguous) {}
  void apply(Pieces& pieces) const override { split_at(pieces, behavior_, unicode::is_numeric); }
  bool ends_at_spaces() const override { return false; }

 private:
  Behavior behavior_;
};

class CharDelimiterSplit final : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(const Place& place) : delimiter_(place.at("delimiter").character()) {}
  void apply(Pieces& pieces) const override {
    split_at(pieces, Behavior::removed, [this](char32_t point) { return point == delimiter_; });
  }
  bool ends_at_spaces() const override { return delimiter_ == ' '; }

 private:
  char32_t delimiter_;
};

class Split final : public PreTokenizer {
 public:
  explicit Split(const Place& place)
      : pattern_(place.at("pattern")), behavior_(read_behavior(place.at("behavior"))), invert_(place.at("invert").flag()) {
    // Whether a pattern ends words at spaces cannot be told from it; one that knows letters is made for words.
    const Place pattern = place.at("pattern");
    ends_at_spaces_ =
        pattern.has("Regex") ? pattern.at("Regex").text().find("\\p{L}") != std::string::npos : pattern.at("String").text() == " ";
  }
  bool ends_at_spaces() const override { return ends_at_spaces_; }

  void apply(Pieces& pieces) const override {
    std::vector<Range> words;
    std::vector<Part> parts;
    for (const Range range : pieces.ranges) {
      pattern_.for_each(pieces.view(range), [&](size_t begin, size_t end, bool matches) {
        parts.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), matches != invert_});
      });
      append_words(parts, behavior_, range.begin, words);
    }
    pieces.ranges = std::move(words);
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_, ends_at_spaces_;
};

/// Cuts where the script changes; group 0 goes with every neighbour. What comes before the first character of a script is left out.
class UnicodeScripts final : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    std::vector<Range> words;
    for (const Range range : pieces.ranges) {
      const std::string_view text = pieces.view(range);
      uint8_t before = 0;
      size_t begin = text.size();
      for (size_t at = 0, next = 0; at < text.size(); at = next) {
        const uint8_t script = unicode::script_group(unicode::decode(text, next));
        if (script == 0 || script == before) continue;
        if (before != 0) words.push_back({range.begin + static_cast<uint32_t>(begin), range.begin + static_cast<uint32_t>(at)});
        begin = at, before = script;
      }
      if (before != 0) words.push_back({range.begin + static_cast<uint32_t>(begin), range.end});
    }
    pieces.ranges = std::move(words);
  }
  bool ends_at_spaces() const override { return false; }
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(const Place& place) : length_(place.has("length") ? place.at("length").integer(1, INT64_MAX) : 5) {}
  void apply(Pieces& pieces) const override {
    std::vector<Range> words;
    for (const Range range : pieces.ranges) {
      uint32_t begin = range.begin;
      int64_t characters = 0;
      for (uint32_t at = range.begin; at < range.end; ++at) {
        if (unicode::is_continuation(pieces.text.text[at]) || characters++ < length_) continue;
        words.push_back({begin, at});
        begin = at, characters = 1;
      }
      words.push_back({begin, range.end});
    }
    pieces.ranges = std::move(words);
  }

 private:
  int64_t length_;
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(const Place& place) {
    for (const Place& part : place.at("pretokenizers").elements()) {
      if (part.is_null()) part.refuse("expected a pre-tokenizer");
      parts_.push_back(make_pre_tokenizer(part));
    }
  }
  void apply(Pieces& pieces) const override {
    for (const auto& part : parts_) {
      if (pieces.as_bytes) pieces.write_bytes();
      part->apply(pieces);
    }
  }
  bool ends_at_spaces() const override {
    for (const auto& part : parts_)
      if (part->ends_at_spaces()) return true;
    return false;
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

}  // namespace

void Pieces::write_bytes() {
  const std::vector<Range> old = ranges;
  const std::array<uint16_t, 256>& characters = byte_alphabet();
  std::string one;
  {
    Rewriting rewriting(*this);
    for (const Range range : old) {
      rewriting.begin();
      const std::string_view text_of = rewriting.text(range);
      for (uint32_t i = 0; i < text_of.size(); ++i) {
        one.clear();
        unicode::append(one, characters[static_cast<unsigned char>(text_of[i])]);
        rewriting.write(one, rewriting.origin(range.begin + i));
      }
      rewriting.end();
    }
  }
  as_bytes = false;
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Place& place) {
  if (place.is_null()) return nullptr;
  const std::string& type = place.type();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(place);
  if (type == "Metaspace") return std::make_unique<Metaspace>(place);
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "Punctuation") return std::make_unique<Punctuation>(place);
  if (type == "Digits") return std::make_unique<Digits>(place);
  if (type == "CharDelimiterSplit") return std::make_unique<CharDelimiterSplit>(place);
  if (type == "Split") return std::make_unique<Split>(place);
  if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
  if (type == "FixedLength") return std::make_unique<FixedLength>(place);
  if (type == "Sequence") return std::make_unique<Sequence>(place);
  place.at("type").refuse("the pre-tokenizer " + quoted(type) + " is not supported");
}

}  // namespace fedlora::tokenizer
