#include "tokenizer/normalizers.h"

#include <string>
#include <utility>
#include <vector>

#include "regex/regex.h"
#include "tokenizer/alignment.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/place.h"
#include "tokenizer/precompiled.h"
#include "unicode/case.h"
#include "unicode/properties.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {

using unicode::Form;

void to_form(AlignedText& text, Form form) {
  if (!unicode::is_surely(text.text, form)) transform(text, unicode::normalize(text.text, form), 0);
}

void to_lower(AlignedText& text) {
  bool equal = true, ascii = true;
  for (size_t at = 0; at < text.text.size() && ascii;) {
    const char32_t code = unicode::decode(text.text, at);
    ascii = code < 0x80;
    equal &= !(code >= 'A' && code <= 'Z');
  }
  if (ascii) {
    if (equal) return;
    text.write_origin();
    for (char& c : text.text) c = static_cast<char>(unicode::to_lower(static_cast<unsigned char>(c)).first);
    return;
  }
  std::vector<Change> changes;
  changes.reserve(text.text.size());
  for (size_t at = 0; at < text.text.size();) {
    const unicode::Lowered lower = unicode::to_lower(unicode::decode(text.text, at));
    changes.push_back({lower.first, 0});
    if (lower.second != 0) changes.push_back({lower.second, 1});
  }
  transform(text, changes, 0);
}

class NormalForm : public Normalizer {
 public:
  explicit NormalForm(Form form) : form_(form) {}
  void apply(AlignedText& text) const override { to_form(text, form_); }

 private:
  Form form_;
};

class Lowercase : public Normalizer {
 public:
  void apply(AlignedText& text) const override { to_lower(text); }
};

class StripAccents : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    filter(text, [](char32_t code) { return code < 0x80 || !unicode::is_combining_mark(code); });
  }
};

/// White space off the ends.
class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void apply(AlignedText& text) const override {
    // As the reference: both ends at once, or one after the other.
    if (left_ || right_) strip(text);
  }

 private:
  void strip(AlignedText& text) const {
    std::vector<Change> changes;
    for (size_t at = 0; at < text.text.size();) changes.push_back({unicode::decode(text.text, at), 0});
    const size_t count = changes.size();
    size_t leading = 0, trailing = 0;
    while (left_ && leading < count && unicode::is_white_space(changes[leading].code)) ++leading;
    while (right_ && trailing < count && unicode::is_white_space(changes[count - 1 - trailing].code)) ++trailing;
    if (leading == 0 && trailing == 0) return;
    changes.resize(count - trailing);
    changes.erase(changes.begin(), changes.begin() + static_cast<std::ptrdiff_t>(std::min(leading, changes.size())));
    transform(text, changes, leading);
  }

  bool left_, right_;
};

/// SentencePiece's rule for machine translation: controls removed, odd white space turned into spaces.
class Nmt : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    filter(text, [](char32_t code) {
      return !((code >= 1 && code <= 8) || code == 0x0B || (code >= 0x0E && code <= 0x1F) || code == 0x7F || code == 0x8F || code == 0x9F);
    });
    map_characters(text, [](char32_t code) {
      const bool space = code == 9 || code == 0x0A || code == 0x0C || code == 0x0D || code == 0x1680 ||
                         (code >= 0x200B && code <= 0x200F) || code == 0x2028 || code == 0x2029 || code == 0x2581 || code == 0xFEFF ||
                         code == 0xFFFD;
      return space ? char32_t{' '} : code;
    });
  }
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}

  void apply(AlignedText& text) const override {
    if (text.text.empty()) return;
    text.write_origin();
    // All of the prefix comes from the first character.
    const Span first = text.origin[0];
    text.text.insert(0, prefix_);
    text.origin.insert(text.origin.begin(), prefix_.size(), first);
    if (!prefix_.empty()) return;
    for (size_t i = 0; i < unicode::length_of(text.text[0]); ++i) text.origin[i] = {text.start, text.start};
  }

 private:
  std::string prefix_;
};

class ReplaceText : public Normalizer {
 public:
  ReplaceText(std::string pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(AlignedText& text) const override {
    std::vector<Span> pieces;
    for (size_t at = text.text.find(pattern_); at != std::string::npos; at = text.text.find(pattern_, at + pattern_.size())) {
      pieces.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(at + pattern_.size())});
    }
    replace_pieces(text, pieces, content_);
  }

 private:
  std::string pattern_, content_;
};

class ReplaceMatches : public Normalizer {
 public:
  ReplaceMatches(const std::string& pattern, std::string content) : regex_(pattern), content_(std::move(content)) {}

  void apply(AlignedText& text) const override {
    if (text.text.empty()) return;
    std::vector<Span> pieces;
    regex_.find_all(text.text,
                    [&](size_t begin, size_t end) { pieces.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)}); });
    replace_pieces(text, pieces, content_);
  }

 private:
  regex::Regex regex_;
  std::string content_;
};

/// BERT's basic clean-up. Devlin et al. 2018.
class BertNormalizer : public Normalizer {
 public:
  struct Options {
    bool clean_text, handle_chinese, strip_accents, lowercase;
  };
  explicit BertNormalizer(Options options) : options_(options) {}

  void apply(AlignedText& text) const override {
    if (options_.clean_text) clean(text);
    if (options_.handle_chinese) space_chinese(text);
    if (options_.strip_accents) {
      to_form(text, Form::nfd);
      filter(text, [](char32_t code) { return code < 0x80 || !unicode::is_nonspacing_mark(code); });
    }
    if (options_.lowercase) to_lower(text);
  }

 private:
  static void clean(AlignedText& text) {
    filter(text, [](char32_t code) { return !unicode::is_bert_control(code); });
    map_characters(text, [](char32_t code) { return unicode::is_white_space(code) ? char32_t{' '} : code; });
  }

  /// The blocks of CJK ideographs, as BERT names them.
  static bool is_chinese(char32_t code) {
    if (code < 0x3400) return false;
    return (code >= 0x4E00 && code <= 0x9FFF) || code <= 0x4DBF || (code >= 0x20000 && code <= 0x2A6DF) ||
           (code >= 0x2A700 && code <= 0x2B73F) || (code >= 0x2B740 && code <= 0x2B81F) || (code >= 0x2B920 && code <= 0x2CEAF) ||
           (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x2F800 && code <= 0x2FA1F);
  }

  static void space_chinese(AlignedText& text) {
    bool any = false;
    for (size_t at = 0; at < text.text.size() && !any;) any = is_chinese(unicode::decode(text.text, at));
    if (!any) return;
    std::vector<Change> changes;
    changes.reserve(text.text.size());
    for (size_t at = 0; at < text.text.size();) {
      const char32_t code = unicode::decode(text.text, at);
      if (is_chinese(code)) {
        changes.insert(changes.end(), {{' ', 0}, {code, 1}, {' ', 1}});
      } else {
        changes.push_back({code, 0});
      }
    }
    transform(text, changes, 0);
  }

  Options options_;
};

/// Every byte as a character of the byte-level alphabet.
class ByteLevel : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    std::vector<Change> changes;
    changes.reserve(text.text.size());
    for (const char byte : text.text) {
      changes.push_back({byte_alphabet()[static_cast<unsigned char>(byte)], unicode::is_continuation(byte) ? 1 : 0});
    }
    if (!changes.empty()) transform(text, changes, 0);
  }
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  void apply(AlignedText& text) const override {
    for (const auto& part : parts_) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

std::unique_ptr<Normalizer> make_replace(const Place& place) {
  const Place pattern = place.at("pattern");
  const std::string& content = place.at("content").text();
  if (pattern.has("Regex")) return std::make_unique<ReplaceMatches>(pattern.at("Regex").text(), content);
  const std::string& text = pattern.at("String").text();
  if (text.empty()) return std::make_unique<ReplaceMatches>(text, content);
  return std::make_unique<ReplaceText>(text, content);
}

std::unique_ptr<Normalizer> make(const Place& place) {
  const std::string& type = place.type();
  if (type == "NFC") return std::make_unique<NormalForm>(Form::nfc);
  if (type == "NFD") return std::make_unique<NormalForm>(Form::nfd);
  if (type == "NFKC") return std::make_unique<NormalForm>(Form::nfkc);
  if (type == "NFKD") return std::make_unique<NormalForm>(Form::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip") return std::make_unique<Strip>(place.at("strip_left").flag(), place.at("strip_right").flag());
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "Prepend") return std::make_unique<Prepend>(place.at("prepend").text());
  if (type == "Replace") return make_replace(place);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "Precompiled") return std::make_unique<Precompiled>(place.at("precompiled_charsmap").text());
  if (type == "BertNormalizer") {
    const bool lowercase = place.at("lowercase").flag();
    return std::make_unique<BertNormalizer>(BertNormalizer::Options{place.at("clean_text").flag(), place.at("handle_chinese_chars").flag(),
                                                                    place.flag_or("strip_accents", lowercase), lowercase});
  }
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> parts;
    for (const Place& part : place.at("normalizers").elements()) parts.push_back(make(part));
    return std::make_unique<Sequence>(std::move(parts));
  }
  place.at("type").refuse("the normalizer " + quoted(type) + " is not supported");
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& json) {
  if (json.is(Json::Kind::null)) return nullptr;
  return make(Place(json, "normalizer"));
}

}  // namespace fedlora::tokenizer
