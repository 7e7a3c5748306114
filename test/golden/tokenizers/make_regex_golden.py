#!/usr/bin/env python3
"""Writes regex.json: what Oniguruma inside Hugging Face `tokenizers` 0.23.3 matches.

    python test/golden/tokenizers/make_regex_golden.py
"""
import json
import pathlib
import random

from tokenizers import Regex, pre_tokenizers

KNOWN = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
    r"[\p{Han}]+|[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|[\p{L}&&[^\p{Han}\p{Lu}]]+",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿ]+",
    " ?[^(\\s|[.,!?…。，、।۔،])]+",
    r"\p{N}{1,3}",
    r"[\r\n]",
    r" {2,}",
    r"[0-9][0-9][0-9]",
    r"\w+|[^\w\s]+",
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"(?<=\d)(?=(\d{3})+(?!\d))",
]
OTHERS = r"""(?m:.)|.|^|$|\s+$|a{2}+|a{1,2}?|a{2}?|a{,2}|a{3,1}|\h+|(?i:ss)|(?i)ß|(?i:[a-zß]+)|(?i)straße,stop|(?<=ab)d|(?<=a+)d|(?<!ab)c
[\p{L}&&[^a]]|[^\p{L}&&[^a]]|[[:alpha:]]+|[[:^alpha:]]+|[a-b-c]+|[]a]|[^]a]+|[--a]+|[[a]-z]|a{|{,}|\R|\b|\B|\b\w|x*|(?>a|ab)c|a(?i)b|c
(?:a|b*)*c|\w+?\b|.+?\s|\Aa|a\Z|a\z|\G\w|(?#c)a|(?x: a b )c|\x{41}|\u0041|\p{^L}+|\P{Lu}+|[\x{0}-\x{ff}]+|a++b|a?+b|(?:ab)*+a|(a|ab)(c|bcd)""".replace(
    "\n", "|"
)
PIECES = ["abcab ", "aab", "X ", " \t", "\r\n", "\n", "\u00a0\u3000\u0085", "0123456789", "٠١٢三½Ⅷ²", "'s", "'RE", "!?.,;()[]{}|-", "ßẞſKss", "ﬀﬆ", "привет",
          "中文字かなカー한국", "ไทยกำ", "नमस्ते", "السلام،", "e\u0301\u0345", "\u200d\u200b\ufeff", "😀👨‍👩", "\0\x7f\x9f", "𐐀𝒜𠀀", "ǅªⁿ", "—…“”", " the", "Word", "12"]  # fmt: skip


def split_patterns():
    """OTHERS at the bars outside of groups and brackets, which hold none."""
    out, depth = [""], 0
    for index, char in enumerate(OTHERS):
        escaped = index > 0 and OTHERS[index - 1] == "\\"
        depth += 0 if escaped else (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            out.append("")
        else:
            out[-1] += char
    return out


def matches(pattern, text):
    places = [0]
    for char in text:
        places.append(places[-1] + len(char.encode()))
    pieces = pre_tokenizers.Split(Regex(pattern), "removed", invert=True).pre_tokenize_str(text)
    return [places[place] for _, span in pieces for place in span]


def main():
    random.seed(11)
    texts = ["", "a", "\n", "a1 éß ſK\r\n\n\tx ab abc aab aa", "ss SS ß ﬀi ffi st ﬆ", "1234567 12 123 x1234"]
    texts += ["".join(random.choices(PIECES, k=random.choice([2, 4, 8]))) for _ in range(14)]
    cases = [{"pattern": p, "matches": [matches(p, t) for t in texts]} for p in KNOWN + split_patterns()]
    golden = {"from": "tokenizers 0.23.3", "texts": texts, "cases": cases}
    path = pathlib.Path(__file__).with_name("regex.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(len(cases), path.stat().st_size)


main()
