#include "tokenizer/normalizers.h"

#include <vector>

#include "tokenizer/place.h"
#include "tokenizer/split.h"

namespace fedlora::tokenizer {

namespace {

class Prepend final : public Normalizer {
 public:
  explicit Prepend(const Place& place) : prefix_(place.at("prepend").text()) {}
  void apply(AlignedText& text) const override {
    if (text.text.empty()) return;
    text.write_origin();
    text.origin.insert(text.origin.begin(), prefix_.size(), Span(text.origin.front()));
    text.text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  explicit Replace(const Place& place) : pattern_(place.at("pattern")), content_(place.at("content").text()) {}
  void apply(AlignedText& text) const override {
    AlignedText out;
    text.write_origin();
    pattern_.for_each(text.text, [&](size_t begin, size_t end, bool matches) {
      if (matches) {
        out.text += content_;
        out.origin.insert(out.origin.end(), content_.size(), end == 0 ? Span() : text.origin[end - 1]);
      } else {
        out.text.append(text.text, begin, end - begin);
        out.origin.insert(out.origin.end(), text.origin.begin() + static_cast<ptrdiff_t>(begin),
                          text.origin.begin() + static_cast<ptrdiff_t>(end));
      }
    });
    text = std::move(out);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(const Place& place) {
    for (const Place& part : place.at("normalizers").elements()) parts_.push_back(make_normalizer(part.json()));
  }
  void apply(AlignedText& text) const override {
    for (const auto& part : parts_)
      if (part) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& json) {
  const Place place(json, "normalizer");
  if (place.is_null()) return nullptr;
  const std::string& type = place.type();
  if (type == "Prepend") return std::make_unique<Prepend>(place);
  if (type == "Replace") return std::make_unique<Replace>(place);
  if (type == "Sequence") return std::make_unique<Sequence>(place);
  place.at("type").refuse("the normalizer " + quoted(type) + " is not supported");
}

}  // namespace fedlora::tokenizer
