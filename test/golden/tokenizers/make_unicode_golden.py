#!/usr/bin/env python3
"""Writes unicode.json and normalizers.json: check sums (CRC-32) of what Hugging Face `tokenizers` 0.23.3 makes of every code point, of random
marks, and of strings under every normalizer, alignment included.

    python test/golden/tokenizers/make_unicode_golden.py
"""
import importlib.util
import json
import pathlib
import random
import sys
import zlib

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "parity" / "python"))
from tokenizer_strings import strings  # noqa: E402

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
FORMS = ["NFC", "NFD", "NFKC", "NFKD"]


def write(name, golden):
    path = HERE / name
    path.write_text(json.dumps({"from": "tokenizers 0.23.3", **golden}, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(name, path.stat().st_size)


def check(text):
    return zlib.crc32(text.encode())


def of_every_code(function):
    return check("\n".join(function(chr(c)) for c in CODES))


def flags(test):
    """One character, 0 or 1, for every code point."""
    return check("".join("1" if test(chr(c)) else "0" for c in CODES))


def unicode_golden():
    random.seed(17)
    marks = [chr(c) for c in range(0x300, 0x370)] + list("\u0591\u05b0\u064e\u093c\u094d\u0e38\u3099\u302a\u1dca\u0f71\u0f72\u1161\u11a8")
    bases = list("aeoAEOu가나ᄀक\u09c7শ\u0b47ἀ\u0300x") + ["\u1100", "\uac00", "\u0344", "\u212b", "\ufb2c", "\u1e9b\u0323"]
    sequences = ["".join(random.choice(bases) + "".join(random.choices(marks, k=random.randrange(5))) for _ in range(4)) for _ in range(3000)]
    forms = {name: getattr(normalizers, name)().normalize_str for name in FORMS}
    digits, whitespace = pre_tokenizers.Digits(False), pre_tokenizers.Whitespace()
    bert = normalizers.BertNormalizer(True, False, False, False)
    accents, lower = normalizers.StripAccents(), normalizers.Lowercase()
    split = pre_tokenizers.WhitespaceSplit()
    write(
        "unicode.json",
        {
            "forms": {name: of_every_code(form) for name, form in forms.items()},
            "sequences": sequences[:200],
            "sequence_forms": {name: check("\n".join(map(form, sequences[:200]))) for name, form in forms.items()},
            "lower": of_every_code(lower.normalize_str),
            "white_space": flags(lambda c: split.pre_tokenize_str("a" + c) == [("a", (0, 1))]),
            "numeric": flags(lambda c: len(digits.pre_tokenize_str("a" + c)) == 2),
            "word": flags(lambda c: whitespace.pre_tokenize_str("a" + c)[0][0] == "a" + c),
            "bert_control": flags(lambda c: bert.normalize_str(c) == ""),
            "combining_mark": flags(lambda c: accents.normalize_str(c) == ""),
        },
    )


def charsmap():
    """A few rules: strings that shrink, grow, vanish, whole clusters."""
    spec = importlib.util.spec_from_file_location("make_unicode", HERE.parent.parent.parent / "scripts" / "make-unicode.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rules = {"\u00e9": "e", "ﬁ": "fi", "\u200b": "", "½": "1/2", "A": "a", "か\u3099": "が", "e\u0301": "É", "\t": " ", "…": "...", "\u0301": "",
             "ⅷ": "viii", "中": "zhong", "©": "(c)", "\ufeff": ""}  # fmt: skip
    return json.loads(module.charsmap(rules).__getstate__())["precompiled_charsmap"]


def kinds():
    def replace(pattern, content, name="String"):
        return {"type": "Replace", "pattern": {name: pattern}, "content": content}

    def bert(*flags):
        return dict(zip(("type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), ("BertNormalizer", *flags)))

    def sequence(*parts):
        return {"type": "Sequence", "normalizers": list(parts)}

    one = [{"type": name} for name in [*FORMS, "Lowercase", "StripAccents", "Nmt", "ByteLevel"]]
    strip = [{"type": "Strip", "strip_left": left, "strip_right": right} for left, right in ((True, True), (True, False), (False, True), (False, False))]
    prepend = [{"type": "Prepend", "prepend": text} for text in ("▁", "", "abc")]
    replaced = [replace(" ", "▁"), replace("a", ""), replace("", "-"), replace("▁▁", "x"), replace("e", "éé"), replace(r"\s+", " ", "Regex"), replace(r"^", "▁", "Regex"), replace(r"\d", "", "Regex"), replace(r"(?<=a)", "|", "Regex")]
    berts = [bert(True, True, None, True), bert(True, True, None, False), bert(False, True, True, False), bert(True, False, False, True), bert(False, False, False, False)]
    compiled = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    nfd, accents, lower = {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}
    together = [
        sequence(prepend[0], replaced[0]), sequence(nfd, accents, lower), sequence(replaced[6], {"type": "NFKC"}, lower), sequence(compiled, replace(r" {2,}", " ", "Regex")),
        sequence({"type": "NFKD"}, strip[0], prepend[2], lower), sequence(prepend[1], {"type": "NFC"}, accents), sequence(), sequence(sequence(nfd), {"type": "NFC"}),
    ]  # fmt: skip
    return one + strip + prepend + replaced + berts + [compiled] + together


def aligned(tokenizer, normalizer, text):
    """The normalized text, and for each of its characters the bytes of `text` that it comes from; None where the library panics."""
    places = [0]
    for char in text:
        places.append(places[-1] + len(char.encode()))
    try:
        spans = tokenizer.encode(text).offsets
    except BaseException as error:  # the library panics where text before the source was inserted and characters change behind it
        if type(error).__name__ != "PanicException":
            raise
        return None
    return normalizer.normalize_str(text) + "\n" + ",".join(f"{places[begin]}-{places[end]}" for begin, end in spans)


def normalizers_golden():
    texts = strings(180, 23)
    cases = []
    for config in kinds():
        tokenizer = Tokenizer(models.WordLevel({"?": 0}, "?"))
        state = json.loads(tokenizer.to_str())
        state["normalizer"] = config
        state["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(?m:.)"}, "behavior": "Isolated", "invert": False}
        tokenizer = Tokenizer.from_str(json.dumps(state))
        cases.append({"normalizer": config, "checks": [result and check(result) for text in texts for result in [aligned(tokenizer, tokenizer.normalizer, text)]]})
    write("normalizers.json", {"texts": texts, "cases": cases})


unicode_golden()
normalizers_golden()
