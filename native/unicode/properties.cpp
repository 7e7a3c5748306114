#include "unicode/properties.h"

#include <iterator>
#include <string>

#include "unicode/byte_table.h"

namespace fedlora::unicode {

namespace {
#include "unicode/tables/categories.inc"
#include "unicode/tables/properties.inc"
#include "unicode/tables/script_groups.inc"
#include "unicode/tables/scripts.inc"
#include "unicode/tables/sets.inc"

template <size_t count>
CodeSet set_of(const uint32_t (&pairs)[count]) {
  return CodeSet::from_pairs(pairs, count);
}

/// The code points of the runs whose value `wanted` accepts.
template <size_t count, typename Wanted>
CodeSet set_of_runs(const uint32_t (&runs)[count], int shift, Wanted wanted) {
  CodeSet out;
  for (size_t i = 0; i < count; ++i) {
    const char32_t last = i + 1 < count ? (runs[i + 1] >> shift) - 1 : last_code;
    if (wanted(runs[i] & ((1u << shift) - 1))) out.add(runs[i] >> shift, last);
  }
  return out;
}

struct CategoryName {
  const char* code;
  const char* name;
  General first, last;
};
constexpr CategoryName category_names[] = {
    {"C", "Other", General::Cc, General::Cn},
    {"L", "Letter", General::Lu, General::Lo},
    {"LC", "Cased_Letter", General::Lu, General::Lt},
    {"M", "Mark", General::Mn, General::Me},
    {"M", "Combining_Mark", General::Mn, General::Me},
    {"N", "Number", General::Nd, General::No},
    {"P", "Punctuation", General::Pc, General::Po},
    {"S", "Symbol", General::Sm, General::So},
    {"Z", "Separator", General::Zs, General::Zp},
    {"Lu", "Uppercase_Letter", General::Lu, General::Lu},
    {"Ll", "Lowercase_Letter", General::Ll, General::Ll},
    {"Lt", "Titlecase_Letter", General::Lt, General::Lt},
    {"Lm", "Modifier_Letter", General::Lm, General::Lm},
    {"Lo", "Other_Letter", General::Lo, General::Lo},
    {"Mn", "Nonspacing_Mark", General::Mn, General::Mn},
    {"Mc", "Spacing_Mark", General::Mc, General::Mc},
    {"Me", "Enclosing_Mark", General::Me, General::Me},
    {"Nd", "Decimal_Number", General::Nd, General::Nd},
    {"Nl", "Letter_Number", General::Nl, General::Nl},
    {"No", "Other_Number", General::No, General::No},
    {"Pc", "Connector_Punctuation", General::Pc, General::Pc},
    {"Pd", "Dash_Punctuation", General::Pd, General::Pd},
    {"Ps", "Open_Punctuation", General::Ps, General::Ps},
    {"Pe", "Close_Punctuation", General::Pe, General::Pe},
    {"Pi", "Initial_Punctuation", General::Pi, General::Pi},
    {"Pf", "Final_Punctuation", General::Pf, General::Pf},
    {"Po", "Other_Punctuation", General::Po, General::Po},
    {"Sm", "Math_Symbol", General::Sm, General::Sm},
    {"Sc", "Currency_Symbol", General::Sc, General::Sc},
    {"Sk", "Modifier_Symbol", General::Sk, General::Sk},
    {"So", "Other_Symbol", General::So, General::So},
    {"Zs", "Space_Separator", General::Zs, General::Zs},
    {"Zl", "Line_Separator", General::Zl, General::Zl},
    {"Zp", "Paragraph_Separator", General::Zp, General::Zp},
    {"Cc", "Control", General::Cc, General::Cc},
    {"Cf", "Format", General::Cf, General::Cf},
    {"Co", "Private_Use", General::Co, General::Co},
    {"Cn", "Unassigned", General::Cn, General::Cn},
};

CodeSet category_set(General first, General last) {
  return set_of_runs(category_runs, 5, [&](uint32_t value) { return value >= uint32_t(first) && value <= uint32_t(last); });
}

/// Names compare without case, spaces, - and _.
std::string folded(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  }
  return out;
}

template <typename... Sets>
CodeSet united(const Sets&... sets) {
  CodeSet out;
  (out.add(sets), ...);
  return out;
}

/// POSIX brackets as Oniguruma defines them for Unicode; `name` is folded.
std::optional<CodeSet> posix_set(const std::string& name) {
  const auto of = [](General first, General last) { return category_set(first, last); };
  const CodeSet alpha = set_of(alphabetic), digit = of(General::Nd, General::Nd), space = set_of(white_space);
  if (name == "alpha") return alpha;
  if (name == "digit") return digit;
  if (name == "space") return space;
  if (name == "alnum") return united(alpha, digit);
  if (name == "ascii") return CodeSet(0, 0x7F);
  if (name == "any") return CodeSet(0, last_code);
  if (name == "assigned") return of(General::Cn, General::Cn).inverted();
  if (name == "blank") return united(of(General::Zs, General::Zs), CodeSet('\t', '\t'));
  if (name == "cntrl") return of(General::Cc, General::Cc);
  if (name == "lower") return set_of(lowercase);
  if (name == "upper") return set_of(uppercase);
  if (name == "xdigit") return set_of(ascii_hex_digit);
  if (name == "punct") return united(of(General::Pc, General::Po), of(General::Sm, General::So));
  if (name == "newline") return CodeSet('\n', '\n');
  if (name == "word") return united(alpha, of(General::Mn, General::Nd), of(General::Pc, General::Pc));
  const CodeSet graph = united(space, of(General::Cc, General::Cc), of(General::Cn, General::Cn)).inverted();
  if (name == "graph") return graph;
  if (name == "print") return united(graph, of(General::Zs, General::Zs));
  return std::nullopt;
}
}  // namespace

General category(char32_t code) {
  static const ByteTable table(category_runs, 5);
  return static_cast<General>(table[code]);
}

uint8_t script_group(char32_t code) {
  static const ByteTable table(script_group_runs, 8);
  return table[code];
}

#define LOOKED_UP(name, pairs)                   \
  bool name(char32_t code) {                     \
    static const CodeTable table{set_of(pairs)}; \
    return table.contains(code);                 \
  }
LOOKED_UP(is_numeric, numeric_codes)
LOOKED_UP(is_word, word_codes)
LOOKED_UP(is_punctuation, punctuation_codes)
LOOKED_UP(is_bert_control, bert_control_codes)
LOOKED_UP(is_nonspacing_mark, nonspacing_mark_codes)
LOOKED_UP(is_combining_mark, combining_mark_codes)
#undef LOOKED_UP

std::optional<CodeSet> named_set(std::string_view name) {
  const std::string wanted = folded(name);
  for (const CategoryName& entry : category_names) {
    if (wanted == folded(entry.code) || wanted == folded(entry.name)) return category_set(entry.first, entry.last);
  }
  for (size_t script = 0; script < std::size(script_names); ++script) {
    for (const char* script_name : script_names[script]) {
      if (wanted == folded(script_name)) return set_of_runs(script_runs, 8, [&](uint32_t value) { return value == script; });
    }
  }
  for (const auto& property : property_sets) {
    if (wanted == folded(property.name)) return CodeSet::from_pairs(property.pairs, property.count);
  }
  return posix_set(wanted);
}

}  // namespace fedlora::unicode
