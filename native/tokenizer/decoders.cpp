#include "tokenizer/decoders.h"

#include <algorithm>

#include "tokenizer/byte_level.h"
#include "tokenizer/split.h"
#include "unicode/utf8.h"

namespace fedlora::tokenizer {

namespace {

constexpr std::string_view broken = "\xEF\xBF\xBD";

/// Every place of `pattern` replaced, from left to right. An empty pattern lies between all characters and at both ends.
std::string replaced(std::string_view text, std::string_view pattern, std::string_view by) {
  std::string out;
  if (pattern.empty()) {
    for (const char c : text) {
      if (!unicode::is_continuation(c)) out += by;
      out += c;
    }
    return out += by;
  }
  size_t at = 0;
  for (size_t found; (found = text.find(pattern, at)) != std::string_view::npos; at = found + pattern.size())
    out.append(text.substr(at, found - at)).append(by);
  return out.append(text.substr(at));
}

/// English punctuation and contractions joined again, in the order of the reference.
std::string cleaned(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> rules[] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                                                     {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                                                     {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : rules)
    if (text.find(from) != std::string::npos) text = replaced(text, from, to);
  return text;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += text;
  return out;
}

class ByteLevel final : public Decoder {
 public:
  void apply(std::vector<std::string>& texts) const override {
    std::string bytes;
    for (const std::string& text : texts) {
      const size_t before = bytes.size();
      for (size_t at = 0; at < text.size();) {
        const int byte = byte_of_character(unicode::decode(text, at));
        if (byte < 0) {  // not of the alphabet: the text as it is
          bytes.resize(before);
          bytes += text;
          break;
        }
        bytes += static_cast<char>(byte);
      }
    }
    texts.assign(1, utf8_lossy(bytes));
  }
};

class ByteFallback final : public Decoder {
 public:
  void apply(std::vector<std::string>& texts) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (unicode::is_valid(bytes)) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), std::string(broken));
      }
      bytes.clear();
    };
    for (std::string& text : texts) {
      if (const int byte = byte_of(text); byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      flush();
      out.push_back(std::move(text));
    }
    flush();
    texts = std::move(out);
  }

 private:
  static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  }
  /// The byte of <0xEF>, or -1.
  static int byte_of(std::string_view text) {
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
    const int high = text[3] == '+' ? 0 : digit(text[3]), low = digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
};

class WordPiece final : public Decoder {
 public:
  explicit WordPiece(const Place& place) : prefix_(place.at("prefix").text()), cleanup_(place.at("cleanup").flag()) {}
  void apply(std::vector<std::string>& texts) const override {
    for (size_t i = 0; i < texts.size(); ++i) {
      if (i > 0) texts[i] = texts[i].starts_with(prefix_) ? texts[i].substr(prefix_.size()) : " " + texts[i];
      if (cleanup_) texts[i] = cleaned(std::move(texts[i]));
    }
  }

 private:
  std::string prefix_;
  bool cleanup_;
};

class Metaspace final : public Decoder {
 public:
  explicit Metaspace(const Place& place)
      : replacement_(place.at("replacement").text()),
        prefixed_(place.text_or("prepend_scheme", "always") != "never" && place.flag_or("add_prefix_space", true)) {
    place.at("replacement").character();
  }
  void apply(std::vector<std::string>& texts) const override {
    for (size_t i = 0; i < texts.size(); ++i) texts[i] = replaced(texts[i], replacement_, i == 0 && prefixed_ ? "" : " ");
  }

 private:
  std::string replacement_;
  bool prefixed_;
};

class BpeDecoder final : public Decoder {
 public:
  explicit BpeDecoder(const Place& place) : suffix_(place.at("suffix").text()) {}
  void apply(std::vector<std::string>& texts) const override {
    for (size_t i = 0; i < texts.size(); ++i) texts[i] = replaced(texts[i], suffix_, i + 1 == texts.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

class Fuse final : public Decoder {
 public:
  void apply(std::vector<std::string>& texts) const override { texts.assign(1, joined(texts)); }
};

class Strip final : public Decoder {
 public:
  explicit Strip(const Place& place)
      : content_(place.at("content").text()),
        start_(place.at("start").integer(0, INT32_MAX)),
        stop_(place.at("stop").integer(0, INT32_MAX)) {
    place.at("content").character();
  }
  void apply(std::vector<std::string>& texts) const override {
    for (std::string& text : texts) {
      std::string_view rest = text;
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      text = std::string(rest);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class Replace final : public Decoder {
 public:
  explicit Replace(const Place& place) : pattern_(place.at("pattern")), content_(place.at("content").text()) {}
  void apply(std::vector<std::string>& texts) const override {
    for (std::string& text : texts) {
      std::string out;
      pattern_.for_each(text, [&](size_t begin, size_t end, bool matches) { out += matches ? content_ : text.substr(begin, end - begin); });
      text = std::move(out);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Ctc final : public Decoder {
 public:
  explicit Ctc(const Place& place)
      : pad_(place.at("pad_token").text()), delimiter_(place.at("word_delimiter_token").text()), cleanup_(place.at("cleanup").flag()) {}
  void apply(std::vector<std::string>& texts) const override {
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    for (std::string& text : texts) {
      text = replaced(text, pad_, "");
      if (cleanup_) text = replaced(cleaned(std::move(text)), delimiter_, " ");
    }
    std::erase_if(texts, [](const std::string& text) { return text.empty(); });
  }

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

class Sequence final : public Decoder {
 public:
  explicit Sequence(const Place& place) {
    for (const Place& part : place.at("decoders").elements()) {
      if (part.is_null()) part.refuse("expected a decoder");
      parts_.push_back(make_decoder(part));
    }
  }
  void apply(std::vector<std::string>& texts) const override {
    for (const auto& part : parts_) part->apply(texts);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

}  // namespace

std::string utf8_lossy(std::string_view bytes) {
  if (unicode::is_valid(bytes)) return std::string(bytes);
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const auto byte = [&](size_t i) { return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u; };
    const unsigned lead = byte(0);
    if (lead < 0x80) {
      out += bytes[at++];
      continue;
    }
    // The second byte's range keeps overlong forms, surrogates and what lies beyond U+10FFFF out.
    const size_t length = lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 1;
    const unsigned least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80, most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    size_t good = 1;
    while (good < length && byte(good) >= (good == 1 ? least : 0x80) && byte(good) <= (good == 1 ? most : 0xBF)) ++good;
    if (length > 1 && good == length)
      out.append(bytes.substr(at, length));
    else
      out += broken;
    at += good;
  }
  return out;
}

std::unique_ptr<Decoder> make_decoder(const Place& place) {
  if (place.is_null()) return nullptr;
  const std::string& type = place.type();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "WordPiece") return std::make_unique<WordPiece>(place);
  if (type == "Metaspace") return std::make_unique<Metaspace>(place);
  if (type == "BPEDecoder") return std::make_unique<BpeDecoder>(place);
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip") return std::make_unique<Strip>(place);
  if (type == "Replace") return std::make_unique<Replace>(place);
  if (type == "CTC") return std::make_unique<Ctc>(place);
  if (type == "Sequence") return std::make_unique<Sequence>(place);
  place.at("type").refuse("the decoder " + quoted(type) + " is not supported");
}

}  // namespace fedlora::tokenizer
