#include "tokenizer/alignment.h"

namespace fedlora::tokenizer {

void transform(AlignedText& text, const std::vector<Change>& changes, size_t removed) {
  text.write_origin();
  const std::vector<Span>& origin = text.origin;
  const size_t size = text.text.size();
  if (size == 0) return;
  size_t next = 0;  // where the next character stands that is replaced or removed
  const auto skip = [&] { next += next < size ? unicode::length_of(text.text[next]) : 0; };
  for (; removed > 0; --removed) skip();

  AlignedText out;
  out.start = text.start;
  out.text.reserve(size + size / 8);
  out.origin.reserve(size + size / 8);
  for (const Change& change : changes) {
    Span span{text.start, text.start};
    if (change.change <= 0) {
      span = origin[next < size ? next : size - 1];
    } else if (next > 0) {
      span = origin[next - 1];
    }
    if (change.change <= 0) skip();
    for (int32_t gone = change.change; gone < 0; ++gone) skip();
    unicode::append(out.text, change.code);
    out.origin.resize(out.text.size(), span);
  }
  text = std::move(out);
}

void replace_pieces(AlignedText& text, const std::vector<Span>& pieces, std::string_view content) {
  if (pieces.empty()) return;
  text.write_origin();
  AlignedText out;
  out.start = text.start;
  const size_t size = text.text.size() + pieces.size() * content.size();
  out.text.reserve(size);
  out.origin.reserve(size);
  size_t last = 0;
  const auto keep_to = [&](size_t end) {
    out.text.append(text.text, last, end - last);
    out.origin.insert(out.origin.end(), text.origin.begin() + static_cast<std::ptrdiff_t>(last),
                      text.origin.begin() + static_cast<std::ptrdiff_t>(end));
  };
  for (const Span& piece : pieces) {
    keep_to(piece.begin);
    out.text += content;
    out.origin.resize(out.text.size(), piece.end > 0 ? text.origin[piece.end - 1] : Span{text.start, text.start});
    last = piece.end;
  }
  keep_to(text.text.size());
  text = std::move(out);
}

}  // namespace fedlora::tokenizer
