/// Unicode normal forms (UAX 15), each character with what became of the text's own characters.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace fedlora::unicode {

enum class Form { nfc, nfd, nfkc, nfkd };

/// One character of a changed text. `change` 0: it replaces a character of the source; 1: it is new; −n: it replaces one, and the n
/// characters behind that are gone.
struct Change {
  char32_t code;
  int32_t change;
  bool operator==(const Change&) const = default;
};

/// Whether `text` is in the form for certain: nothing in it can decompose, compose or change places. false: perhaps it is.
bool is_surely(std::string_view text, Form form);

/// The text in the form.
std::vector<Change> normalize(std::string_view text, Form form);

}  // namespace fedlora::unicode
