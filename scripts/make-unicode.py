#!/usr/bin/env python3
"""Writes native/unicode/tables/*.inc by asking Hugging Face `tokenizers` about every code point.

The library's parts follow different versions of Unicode (its regular expressions, its normal forms, its white space …); asking each part
makes our tables equal to it by construction. Run once, with tokenizers 0.23.3, then `npm run format`:

    python scripts/make-unicode.py
"""
import pathlib
import struct
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "native" / "unicode" / "tables"
CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ALL = "".join(map(chr, CODES))

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
# Scripts as ISO 15924 code and long name. Katakana_Or_Hiragana has no characters.
SCRIPTS = """Adlm Adlam Aghb Caucasian_Albanian Ahom Ahom Arab Arabic Armi Imperial_Aramaic Armn Armenian Avst Avestan Bali Balinese Bamu Bamum
Bass Bassa_Vah Batk Batak Beng Bengali Bhks Bhaiksuki Bopo Bopomofo Brah Brahmi Brai Braille Bugi Buginese Buhd Buhid Cakm Chakma
Cans Canadian_Aboriginal Cari Carian Cham Cham Cher Cherokee Chrs Chorasmian Copt Coptic Cpmn Cypro_Minoan Cprt Cypriot Cyrl Cyrillic
Deva Devanagari Diak Dives_Akuru Dogr Dogra Dsrt Deseret Dupl Duployan Egyp Egyptian_Hieroglyphs Elba Elbasan Elym Elymaic Ethi Ethiopic
Gara Garay Geor Georgian Glag Glagolitic Gong Gunjala_Gondi Gonm Masaram_Gondi Goth Gothic Gran Grantha Grek Greek Gujr Gujarati
Gukh Gurung_Khema Guru Gurmukhi Hang Hangul Hani Han Hano Hanunoo Hatr Hatran Hebr Hebrew Hira Hiragana Hluw Anatolian_Hieroglyphs
Hmng Pahawh_Hmong Hmnp Nyiakeng_Puachue_Hmong Hung Old_Hungarian Ital Old_Italic Java Javanese Kali Kayah_Li Kana Katakana Kawi Kawi
Khar Kharoshthi Khmr Khmer Khoj Khojki Kits Khitan_Small_Script Knda Kannada Krai Kirat_Rai Kthi Kaithi Lana Tai_Tham Laoo Lao Latn Latin
Lepc Lepcha Limb Limbu Lina Linear_A Linb Linear_B Lisu Lisu Lyci Lycian Lydi Lydian Mahj Mahajani Maka Makasar Mand Mandaic Mani Manichaean
Marc Marchen Medf Medefaidrin Mend Mende_Kikakui Merc Meroitic_Cursive Mero Meroitic_Hieroglyphs Mlym Malayalam Modi Modi Mong Mongolian
Mroo Mro Mtei Meetei_Mayek Mult Multani Mymr Myanmar Nagm Nag_Mundari Nand Nandinagari Narb Old_North_Arabian Nbat Nabataean Newa Newa
Nkoo Nko Nshu Nushu Ogam Ogham Olck Ol_Chiki Onao Ol_Onal Orkh Old_Turkic Orya Oriya Osge Osage Osma Osmanya Ougr Old_Uyghur Palm Palmyrene
Pauc Pau_Cin_Hau Perm Old_Permic Phag Phags_Pa Phli Inscriptional_Pahlavi Phlp Psalter_Pahlavi Phnx Phoenician Plrd Miao
Prti Inscriptional_Parthian Rjng Rejang Rohg Hanifi_Rohingya Runr Runic Samr Samaritan Sarb Old_South_Arabian Saur Saurashtra
Sgnw SignWriting Shaw Shavian Shrd Sharada Sidd Siddham Sind Khudawadi Sinh Sinhala Sogd Sogdian Sogo Old_Sogdian Sora Sora_Sompeng
Soyo Soyombo Sund Sundanese Sunu Sunuwar Sylo Syloti_Nagri Syrc Syriac Tagb Tagbanwa Takr Takri Tale Tai_Le Talu New_Tai_Lue Taml Tamil
Tang Tangut Tavt Tai_Viet Telu Telugu Tfng Tifinagh Tglg Tagalog Thaa Thaana Thai Thai Tibt Tibetan Tirh Tirhuta Tnsa Tangsa Todr Todhri
Toto Toto Tutg Tulu_Tigalari Ugar Ugaritic Vaii Vai Vith Vithkuqi Wara Warang_Citi Wcho Wancho Xpeo Old_Persian Xsux Cuneiform Yezi Yezidi
Yiii Yi Zanb Zanabazar_Square Zinh Inherited Zyyy Common Zzzz Unknown""".split()
SCRIPTS = list(zip(SCRIPTS[0::2], SCRIPTS[1::2]))
# Properties that are no union of general categories.
PROPERTIES = [
    "Alphabetic", "Lowercase", "Uppercase", "White_Space", "Ideographic", "Unified_Ideograph", "Hex_Digit", "ASCII_Hex_Digit",
    "Emoji", "Emoji_Presentation", "Emoji_Modifier", "Emoji_Modifier_Base", "Emoji_Component", "Extended_Pictographic",
    "Regional_Indicator", "Variation_Selector", "Join_Control", "Dash", "Quotation_Mark", "Pattern_White_Space", "Radical",
]  # fmt: skip


def matched(pattern):
    """Code points that the regular expression `pattern`, a negated property, leaves when what it matches is removed."""
    return set(map(ord, normalizers.Replace(Regex(pattern + "+"), "").normalize_str(ALL)))


def runs(value_of):
    """[(first, value)] of each run of equal values over all code points, surrogates as their neighbours."""
    out, last = [], object()
    for c in CODES:
        if (value := value_of(c)) != last:
            out.append((c, value))
            last = value
    return out


def ranges(codes):
    out = []
    for c in sorted(codes):
        if out and (out[-1][1] == c - 1 or (out[-1][1] == 0xD7FF and c == 0xE000)):
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def write(name, what, blocks):
    lines = [f"// {what}", f"// Written by scripts/make-unicode.py from tokenizers {tokenizers.__version__}."]
    (OUT / f"{name}.inc").write_text("\n".join(lines + blocks) + "\n")
    print(name, sum(map(len, blocks)))


def numbers(values):
    return ", ".join(f"0x{v:X}" if v > 9 else str(v) for v in values)


def code_set(name, codes):
    return f"constexpr uint32_t {name}[] = {{{numbers(x for r in ranges(codes) for x in r)}}};"


def write_categories():
    category = dict.fromkeys(CODES)
    for index, name in enumerate(CATEGORIES):
        for c in matched(rf"\P{{{name}}}"):
            assert category[c] is None
            category[c] = index
    assert None not in category.values()
    write(
        "categories",
        "General categories: first code point of each run * 32 + category (the order of enum General).",
        [f"constexpr uint32_t category_runs[] = {{{numbers(c * 32 + v for c, v in runs(category.__getitem__))}}};"],
    )


def write_scripts():
    script = dict.fromkeys(CODES, len(SCRIPTS) - 1)
    for index, (short, name) in enumerate(SCRIPTS[:-1]):
        assert matched(rf"\P{{{short}}}") == matched(rf"\P{{{name}}}"), (short, name)
        for c in matched(rf"\P{{{name}}}"):
            script[c] = index
    assert {c for c, s in script.items() if s == len(SCRIPTS) - 1} == matched(r"\P{Unknown}")
    write(
        "scripts",
        "Scripts: names (ISO 15924 code, long name), first code point of each run * 256 + script.",
        [
            "constexpr const char* script_names[][2] = {" + ", ".join(f'{{"{a}", "{b}"}}' for a, b in SCRIPTS) + "};",
            f"constexpr uint32_t script_runs[] = {{{numbers(c * 256 + v for c, v in runs(script.__getitem__))}}};",
        ],
    )


def write_properties():
    blocks = [code_set(name.lower(), matched(rf"\P{{{name}}}")) for name in PROPERTIES]
    entries = ", ".join(f'{{"{name.lower()}", {name.lower()}, std::size({name.lower()})}}' for name in PROPERTIES)
    blocks.append("constexpr struct { const char* name; const uint32_t* pairs; size_t count; } property_sets[] = {" + entries + "};")
    write("properties", "Binary properties of regular expressions: first and last code point of each range.", blocks)


def write_folds():
    """Characters that match each other under (?i), and those that match strings."""
    from_to = set(ALL) & {chr(c) for c in matched(r"\P{Changes_When_Casemapped}") | matched(r"\P{Changes_When_Casefolded}")}
    simple, strings = {}, {}
    text = "".join(sorted(from_to))
    for char in text:
        pattern = Regex(f"(?i:{char})")
        others = [c for c, _ in pre_tokenizers.Split(pattern, "removed", True).pre_tokenize_str("\n".join(text)) if c != char]
        simple[char] = sorted(o for o in others if len(o) == 1)
        for folded in {char.casefold(), char.lower(), char.upper()}:
            if len(folded) > 1 and normalizers.Replace(pattern, "").normalize_str(folded) == "":
                strings[char] = folded if folded == char.casefold() else strings.get(char, folded)
    return simple, strings


def write_case():
    lowercase = normalizers.Lowercase()
    lower = {c: t for c in CODES if (t := lowercase.normalize_str(chr(c))) != chr(c)}
    single = [(c, ord(t)) for c, t in lower.items() if len(t) == 1]
    several = [(c, *map(ord, t)) for c, t in lower.items() if len(t) > 1]
    assert all(len(t) == 3 for t in several)
    # Runs of code points that move by the same distance, each step apart: first, last, step, distance.
    moves = []
    for c, to in single:
        if moves and moves[-1][3] == to - c and c - moves[-1][1] in (1, 2) and moves[-1][2] in (0, c - moves[-1][1]):
            moves[-1][2] = c - moves[-1][1]
            moves[-1][1] = c
        else:
            moves.append([c, c, 0, to - c])
    simple, strings = write_folds()
    groups = sorted({tuple(sorted({char, *others})) for char, others in simple.items() if others})
    seen = [c for g in groups for c in g]
    assert len(seen) == len(set(seen)), "the case relation is not an equivalence"
    write(
        "case",
        "Lower case, and the case folding of regular expressions.",
        [
            "struct LowerRun { uint32_t first, last, step; int32_t distance; };",
            "constexpr LowerRun lower_runs[] = {" + ", ".join(f"{{0x{a:X}, 0x{b:X}, {max(s, 1)}, {d}}}" for a, b, s, d in moves) + "};",
            "constexpr uint32_t lower_pairs[][3] = {" + ", ".join(f"{{{numbers(t)}}}" for t in several) + "};",
            "// Groups of characters that are equal but for case, each ended by 0.",
            f"constexpr uint32_t group_codes[] = {{{numbers(x for g in groups for x in (*map(ord, g), 0))}}};",
            "// A character and the folded string that it equals but for case (padded with 0).",
            "constexpr uint32_t string_codes[][4] = {"
            + ", ".join(f"{{{numbers(([ord(c), *map(ord, t)] + [0] * 3)[:4])}}}" for c, t in sorted(strings.items()))
            + "};",
        ],
    )


def write_sets():
    white = set(CODES) - set(map(ord, "".join(t for t, _ in pre_tokenizers.WhitespaceSplit().pre_tokenize_str(ALL))))
    digits = pre_tokenizers.Digits(individual_digits=False)
    numeric = {
        c
        for text, _ in digits.pre_tokenize_str(ALL)
        if len(digits.pre_tokenize_str("a" + text[0])) == 2
        for c in map(ord, text)
    }
    whitespace = pre_tokenizers.Whitespace()
    word = {
        c
        for text, _ in whitespace.pre_tokenize_str(ALL)
        if len(whitespace.pre_tokenize_str("a" + text[0])) == 1
        for c in map(ord, text)
    }
    left = "".join(t for t, _ in pre_tokenizers.Punctuation("removed").pre_tokenize_str(ALL))
    punctuation = set(CODES) - set(map(ord, left))
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    control = {c for c in CODES if clean.normalize_str(chr(c)) == ""}
    strip = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    nonspacing = {c for c in CODES if strip.normalize_str(chr(c)) == ""}
    combining = set(CODES) - set(map(ord, normalizers.StripAccents().normalize_str(ALL)))
    write(
        "sets",
        "Sets that parts of the reference use outside regular expressions: first and last code point of each range.",
        [
            code_set("white_space_codes", white),
            code_set("numeric_codes", numeric),
            code_set("word_codes", word),
            code_set("punctuation_codes", punctuation),
            code_set("bert_control_codes", control),
            code_set("nonspacing_mark_codes", nonspacing),
            code_set("combining_mark_codes", combining),
        ],
    )


def write_normal_forms():
    forms = {name: getattr(normalizers, name)().normalize_str for name in ("NFC", "NFD", "NFKD")}
    hangul = range(0xAC00, 0xAC00 + 11172)
    canonical = {c: t for c in CODES if c not in hangul and (t := forms["NFD"](chr(c))) != chr(c)}
    compatible = {c: t for c in CODES if c not in hangul and (t := forms["NFKD"](chr(c))) != canonical.get(c, chr(c))}
    # A pair composes when the whole of a canonical decomposition but its last character composes to one character.
    pairs = []
    for c, text in canonical.items():
        if len(text) > 1 and forms["NFC"](text) == chr(c):
            first = forms["NFC"](text[:-1])
            assert len(first) == 1
            pairs.append((ord(first), ord(text[-1]), c))
    # Combining classes: a mark of class k moves before marks of greater classes, and only before those.
    swaps = lambda a, b: forms["NFD"](a + b) == b + a != a + b
    low, high = "\u0334", "\u0345"  # classes 1 and 240, the ends
    moving = [c for c in CODES if c not in canonical and c not in hangul and (swaps(high, chr(c)) or swaps(chr(c), low))]
    marks = {}
    for c in moving:
        marks.setdefault(unicodedata.combining(chr(c)), chr(c))
    class_of = {}
    for c in moving:
        (class_of[c],) = [k for k, mark in marks.items() if not swaps(mark, chr(c)) and not swaps(chr(c), mark)]

    def text_table(name, table):
        pool, entries = [], []
        for c, text in table.items():
            codes = list(map(ord, text))
            joined = next((i for i in range(len(pool)) if pool[i : i + len(codes)] == codes), None) if len(codes) > 2 else None
            if joined is None:
                joined = len(pool)
                pool += codes
            entries.append((c, joined << 5 | len(codes)))
        return [
            f"constexpr uint32_t {name}_entries[][2] = {{{', '.join(f'{{{numbers(e)}}}' for e in entries)}}};",
            f"constexpr uint32_t {name}_pool[] = {{{numbers(pool)}}};",
        ]

    write(
        "canonical",
        "Full canonical decompositions (code point; place in the pool * 32 + length), pairs that compose, combining classes.",
        text_table("canonical", canonical)
        + [
            f"constexpr uint32_t composed[][3] = {{{', '.join(f'{{{numbers(p)}}}' for p in sorted(pairs))}}};",
            "// First code point of each run * 256 + combining class.",
            f"constexpr uint32_t class_runs[] = {{{numbers(c * 256 + v for c, v in runs(lambda c: class_of.get(c, 0)))}}};",
        ],
    )
    write("compatible", "Full compatibility decompositions where they differ from the canonical ones.", text_table("compatible", compatible))


def write_script_groups():
    """The classes of the UnicodeScripts pre-tokenizer: 0 goes with both neighbours."""
    split = pre_tokenizers.UnicodeScripts()
    joined = lambda a, b: len(split.pre_tokenize_str(a + b)) == 1
    group_of, leaders = {}, []
    first = lambda c: next((i + 1 for i, leader in enumerate(leaders) if joined(leader, chr(c))), None)
    any_codes = set()
    for text, _ in split.pre_tokenize_str(ALL):
        for c in map(ord, text):
            if joined("a", chr(c)) and joined("\u0431", chr(c)):
                any_codes.add(c)
        members = [c for c in map(ord, text) if c not in any_codes]
        if not members:
            continue
        if (group := first(members[0])) is None:
            leaders.append(chr(members[0]))
            group = len(leaders)
        for c in members:
            group_of[c] = group
    write(
        "script_groups",
        "First code point of each run * 256 + group of the UnicodeScripts pre-tokenizer; group 0 goes with every neighbour.",
        [f"constexpr uint32_t script_group_runs[] = {{{numbers(c * 256 + v for c, v in runs(lambda c: group_of.get(c, 0)))}}};"],
    )


def charsmap(rules):
    """A Precompiled normalizer that replaces each key of `rules`: a double array over the bytes of the keys, then the texts."""
    units, texts, free_from = {0: 0}, b"", 1
    places = {}
    for text in rules.values():
        if text not in places:
            places[text] = len(texts)
            texts += text.encode() + b"\0"

    def place(at, entries, depth):
        nonlocal free_from
        labels = sorted({key[depth] if depth < len(key) else 0 for key, _ in entries})
        base = free_from
        while any((base ^ label) in units or (base ^ label) == 0 for label in labels):
            base += 1
        free_from = base if len(labels) > 1 else free_from
        units[at] |= (at ^ base) << 10 | (0x100 if labels[0] == 0 else 0)
        for label in labels:
            units[base ^ label] = label
        for label in labels:
            inner = [entry for entry in entries if (entry[0][depth] if depth < len(entry[0]) else 0) == label]
            if label == 0:
                units[base] = 1 << 31 | inner[0][1]
            else:
                place(base ^ label, inner, depth + 1)

    place(0, [(key.encode(), places[text]) for key, text in rules.items()], 0)
    array = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(max(units) + 256))
    return normalizers.Precompiled(struct.pack("<I", len(array)) + array + texts)


def write_graphemes():
    """What matters of grapheme clusters to Precompiled, which replaces whole clusters of less than six bytes: their borders."""
    joined = charsmap({"a": "Z"})
    extend = {c for c in CODES if joined.normalize_str("a" + chr(c)) == "Z"}
    # The candidates for what begins a cluster with anything but controls, and for what breaks on both sides.
    special = [c for c in CODES if c not in extend and (unicodedata.category(chr(c)) in ("Cc", "Cf", "Zl", "Zp", "Lo", "Mc") or 0xE0000 <= c < 0xE1000
               or 0xFFF0 <= c < 0xFFF9 or c == 0x2065) and not 0x3400 <= c < 0xD7A4 and not 0x17000 <= c < 0x19000 and not 0x20000 <= c < 0x40000]  # fmt: skip
    mapped = charsmap({chr(c): "Z" for c in special if c > 0})
    prepend = {c for c in special if c > 0 and mapped.normalize_str(chr(c) + "b") == "Z"}
    control = {c for c in special if c > 0 and mapped.normalize_str(chr(c) + "\u0301") == "Z\u0301" and len(chr(c).encode()) < 4}
    # A cluster with a character of four bytes and a mark is never less than six bytes: those are taken by their category.
    control |= {0} | {c for c in special if c > 0xFFFF and (unicodedata.category(chr(c)) == "Cf" or 0xE0000 <= c < 0xE1000)} - prepend
    write(
        "graphemes",
        "Grapheme clusters: what joins the character before it, what the one behind it, what joins neither.",
        [code_set("extending_codes", extend), code_set("prepended_codes", prepend), code_set("breaking_codes", control)],
    )


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for part in (write_categories, write_scripts, write_properties, write_case, write_sets, write_normal_forms, write_script_groups, write_graphemes):
        part()
