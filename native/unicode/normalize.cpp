#include "unicode/normalize.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "unicode/byte_table.h"
#include "unicode/code_set.h"
#include "unicode/utf8.h"

namespace fedlora::unicode {

namespace {
#include "unicode/tables/canonical.inc"
#include "unicode/tables/compatible.inc"

// Hangul syllables decompose by calculation: L (19) × V (21) × T (28, the first of them none).
constexpr char32_t hangul = 0xAC00, leads = 0x1100, vowels = 0x1161, tails = 0x11A7;
constexpr uint32_t lead_count = 19, vowel_count = 21, tail_count = 28, syllable_count = lead_count * vowel_count * tail_count;

bool is_syllable(char32_t code) { return code >= hangul && code < hangul + syllable_count; }

/// Code points with an entry, by code point; an entry is place in the pool << 5 | length.
template <size_t count>
const uint32_t* entry_of(const uint32_t (&entries)[count][2], char32_t code) {
  const auto* at =
      std::lower_bound(std::begin(entries), std::end(entries), code, [](const auto& e, char32_t value) { return e[0] < value; });
  return at != std::end(entries) && (*at)[0] == code ? &(*at)[1] : nullptr;
}

template <size_t count>
CodeSet codes_of(const uint32_t (&entries)[count][2]) {
  CodeSet out;
  for (const auto& entry : entries) out.add(entry[0], entry[0]);
  return out;
}

uint8_t combining_class(char32_t code) {
  static const ByteTable table(class_runs, 8);
  return table[code];
}

/// What cannot change in a form, whatever stands beside it.
CodeSet inert_set(Form form) {
  CodeSet moving;
  for (size_t i = 0; i < std::size(class_runs); ++i) {
    const char32_t last = i + 1 < std::size(class_runs) ? (class_runs[i + 1] >> 8) - 1 : last_code;
    if ((class_runs[i] & 0xFF) != 0) moving.add(class_runs[i] >> 8, last);
  }
  if (form == Form::nfkc || form == Form::nfkd) moving.add(codes_of(compatible_entries));
  if (form == Form::nfd || form == Form::nfkd) {
    moving.add(codes_of(canonical_entries));
    moving.add(hangul, hangul + syllable_count - 1);
    return moving.inverted();
  }
  CodeSet composites;
  for (const auto& pair : composed) {
    moving.add(pair[1], pair[1]);
    composites.add(pair[2], pair[2]);
  }
  // A composite stands for itself unless its decomposition begins with something that moves.
  moving.add(codes_of(canonical_entries).intersected(composites.inverted()));
  moving.add(vowels, vowels + vowel_count - 1);
  moving.add(tails + 1, tails + tail_count - 1);
  return moving.inverted();
}

const CodeTable& inert(Form form) {
  static const CodeTable tables[] = {CodeTable(inert_set(Form::nfc)), CodeTable(inert_set(Form::nfd)), CodeTable(inert_set(Form::nfkc)),
                                     CodeTable(inert_set(Form::nfkd))};
  return tables[static_cast<size_t>(form)];
}

/// Canonical order: marks sorted by class between characters of class 0, equal classes as they stood.
class Decomposer {
 public:
  Decomposer(Form form, size_t length) : compatible_(form == Form::nfkc || form == Form::nfkd) { out_.reserve(length); }

  void add(char32_t code) {
    if (is_syllable(code)) {
      const uint32_t index = code - hangul, tail = index % tail_count;
      push(leads + index / (vowel_count * tail_count), 0);
      push(vowels + index / tail_count % vowel_count, 1);
      if (tail > 0) push(tails + tail, 1);
      return;
    }
    const uint32_t* pool = compatible_pool;
    const uint32_t* entry = compatible_ && may_be_compatible(code) ? entry_of(compatible_entries, code) : nullptr;
    if (entry == nullptr && may_be_canonical(code)) {
      pool = canonical_pool;
      entry = entry_of(canonical_entries, code);
    }
    if (entry == nullptr) return push(code, 0);
    const uint32_t begin = *entry >> 5, length = *entry & 31;
    for (uint32_t i = 0; i < length; ++i) push(pool[begin + i], i > 0);
  }

  std::vector<Change> finish() {
    sort_marks();
    return std::move(out_);
  }

 private:
  static bool may_be_canonical(char32_t code) {
    static const CodeTable table(codes_of(canonical_entries));
    return table.contains(code);
  }
  static bool may_be_compatible(char32_t code) {
    static const CodeTable table(codes_of(compatible_entries));
    return table.contains(code);
  }

  void push(char32_t code, int32_t change) {
    if (combining_class(code) == 0) {
      sort_marks();
      out_.push_back({code, change});
      marks_ = out_.size();
    } else {
      out_.push_back({code, change});
    }
  }

  void sort_marks() {
    if (out_.size() - marks_ > 1) {
      std::stable_sort(out_.begin() + static_cast<std::ptrdiff_t>(marks_), out_.end(),
                       [](const Change& a, const Change& b) { return combining_class(a.code) < combining_class(b.code); });
    }
    marks_ = out_.size();
  }

  bool compatible_;
  std::vector<Change> out_;
  size_t marks_ = 0;  // where the marks begin that are not in order yet
};

std::optional<char32_t> compose(char32_t first, char32_t second) {
  if (first >= leads && first < leads + lead_count && second >= vowels && second < vowels + vowel_count) {
    return hangul + ((first - leads) * vowel_count + (second - vowels)) * tail_count;
  }
  if (is_syllable(first) && (first - hangul) % tail_count == 0 && second > tails && second < tails + tail_count) {
    return first + (second - tails);
  }
  struct Less {
    bool operator()(const uint32_t (&pair)[3], std::pair<char32_t, char32_t> wanted) const {
      return std::pair<char32_t, char32_t>(pair[0], pair[1]) < wanted;
    }
  };
  const auto* at = std::lower_bound(std::begin(composed), std::end(composed), std::pair(first, second), Less{});
  if (at != std::end(composed) && (*at)[0] == first && (*at)[1] == second) return (*at)[2];
  return std::nullopt;
}

/// Composes in place what `Decomposer` gave: each mark with the last character of class 0, unless one of its class or a higher one stands
/// between them.
void compose_all(std::vector<Change>& text) {
  constexpr size_t none = ~size_t{0};
  size_t base = none, kept = 0;
  int last_class = -1;  // of the last character behind the base that was kept; −1: there is none
  for (size_t i = 0; i < text.size(); ++i) {
    const Change next = text[i];
    const int next_class = combining_class(next.code);
    if (base != none && last_class < next_class) {
      if (const auto code = compose(text[base].code, next.code)) {
        text[base].code = *code;
        text[base].change += next.change - 1;
        continue;
      }
    }
    if (next_class == 0) {
      base = kept;
      last_class = -1;
    } else {
      last_class = next_class;
    }
    text[kept++] = next;
  }
  text.resize(kept);
}
}  // namespace

bool is_surely(std::string_view text, Form form) {
  const CodeTable& table = inert(form);
  for (size_t at = 0; at < text.size();) {
    if (static_cast<uint8_t>(text[at]) < 0x80) {
      ++at;
    } else if (!table.contains(decode(text, at))) {
      return false;
    }
  }
  return true;
}

std::vector<Change> normalize(std::string_view text, Form form) {
  Decomposer decomposer(form, text.size());
  for (size_t at = 0; at < text.size();) decomposer.add(decode(text, at));
  std::vector<Change> out = decomposer.finish();
  if (form == Form::nfc || form == Form::nfkc) compose_all(out);
  return out;
}

}  // namespace fedlora::unicode
