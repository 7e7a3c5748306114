"""Tokenizers mixed at random from the parts of all kinds, and what Hugging Face `tokenizers` makes of strings with them.

usage: make_tokenizer_mixtures.py OUT SEED COUNT

Files as of make_tokenizers.py; an expectation is null where the library panics or refuses the string.
"""
import copy
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer

import tokenizer_kinds as k
from make_tokenizers import build, expected
from tokenizer_strings import strings

BASES = ["llama2", "gpt2", "clip", "openai-gpt", "t5", "unigram-byte-fallback", "bert-uncased", "word-level-whitespace", "bpe-no-unk", "bpe-continuing-prefix"]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
REGEXES = [k.GPT2, k.CL100K, k.QWEN2, k.O200K, k.DEEPSEEK3, r"\s", r"\w+", r"[^\s]+", r"\p{L}|\d", r"(?=[A-Z])", r"x*", r"\b", r"^", r"$"]
ADDED = ["added", "ab", "ADDED", "[MASK]", "<mask>", "\u00e9t\u00e9", "\n\n", "wholeword", "the", "<think>", "a b", "▁▁"]


class Mixer:
    def __init__(self, seed, charsmaps):
        self.draw = random.Random(seed)
        self.charsmaps = charsmaps

    def pick(self, *choices):
        return self.draw.choice(choices)

    def chance(self, share=0.5):
        return self.draw.random() < share

    def several(self, wrap, part, depth):
        return wrap(*[part(depth + 1) for _ in range(self.draw.randrange(4))])

    def normalizer(self, depth=0):
        if depth < 2 and self.chance(0.35):
            return self.several(k.normalizers, self.normalizer, depth)
        return self.pick(
            k.NFC, k.NFD, k.NFKC, k.NFKD, k.LOWER, k.ACCENTS, k.NMT, k.STRIP, {"type": "Strip", "strip_left": False, "strip_right": True}, {"type": "ByteLevel"},
            {"type": "Prepend", "prepend": self.pick("▁", "x", "  ")}, k.replace(" ", "▁"), k.replace(self.pick("a", "e", "  ", "▁▁"), self.pick("", "é", "b c")),
            k.replace(self.pick(r"\s+", r"\d", r"[aeiou]+", r"(?<=\w)'", r"\b", r"$"), self.pick(" ", "", "-"), False),
            k.bert(lowercase=self.chance(), strip_accents=self.pick(None, True, False), clean_text=self.chance()), *self.charsmaps,
        )  # fmt: skip

    def pre_tokenizer(self, depth=0):
        if depth < 2 and self.chance(0.4):
            return self.several(k.pre, self.pre_tokenizer, depth)
        return self.pick(
            k.byte_level(self.chance(), self.chance(), self.chance(0.7)), k.metaspace(self.pick("always", "first", "never"), self.chance(0.6)), {"type": "Whitespace"},
            {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"}, {"type": "Punctuation", "behavior": self.pick(*BEHAVIORS)}, {"type": "UnicodeScripts"},
            {"type": "Digits", "individual_digits": self.chance()}, {"type": "CharDelimiterSplit", "delimiter": self.pick(*"- ae")},
            {"type": "FixedLength", "length": self.draw.randrange(1, 6)}, k.split(self.pick(*REGEXES), self.pick(*BEHAVIORS), self.chance(0.4)),
            k.split(self.pick(" ", "a", "the", "▁", "\n"), self.pick(*BEHAVIORS), self.chance(0.3), True),
        )  # fmt: skip

    def decoder(self, depth=0):
        if depth < 2 and self.chance(0.4):
            return self.several(lambda *parts: k.sequence("decoders", *parts), self.decoder, depth)
        return self.pick(
            k.BYTES_OUT, k.LLAMA_OUT, k.WORDPIECE_OUT, {"type": "WordPiece", "prefix": "##", "cleanup": False}, k.metaspace(self.pick("always", "first", "never")),
            {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "Fuse"}, {"type": "ByteFallback"}, k.replace(self.pick("▁", "a", "Ġ"), self.pick(" ", "", "xx")),
            {"type": "Strip", "content": self.pick(" ", "a", "▁"), "start": self.draw.randrange(3), "stop": 0}, k.replace(r"\s+", "_", False),
            {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": self.chance()},
        )  # fmt: skip

    def add_tokens(self, config):
        vocab = config["model"]["vocab"]
        known = {piece for piece, _ in vocab} if isinstance(vocab, list) else set(vocab)
        known |= {token["content"] for token in config["added_tokens"]}
        size = max([len(vocab) - 1, *(token["id"] for token in config["added_tokens"])])
        for content in self.draw.sample(ADDED, self.draw.randrange(5)):
            if content in known:
                continue
            size += 1
            flags = {name: self.chance(share) for name, share in (("single_word", 0.3), ("lstrip", 0.3), ("rstrip", 0.3), ("normalized", 0.3), ("special", 0.5))}
            config["added_tokens"].append({"id": size, "content": content, **flags})

    def post_processor(self, config):
        ids = {token["content"]: token["id"] for token in config["added_tokens"]}
        choice = self.pick("none", "keep", "bytes", "roberta")
        if choice == "keep":
            return config["post_processor"]
        if choice == "bytes":
            return k.byte_level(self.chance(), self.chance())
        if choice == "none" or not ids:
            return None
        first, *_, last = [*ids, *ids]
        return {"type": "RobertaProcessing", "sep": [last, ids[last]], "cls": [first, ids[first]], "trim_offsets": self.chance(0.7), "add_prefix_space": self.chance()}

    def mix(self, base):
        config = copy.deepcopy(base)
        if self.chance(0.7):
            config["normalizer"] = self.pick(None, self.normalizer(), self.normalizer())
        if self.chance(0.8):
            config["pre_tokenizer"] = self.pick(None, self.pre_tokenizer(), self.pre_tokenizer())
        if self.chance(0.6):
            config["decoder"] = self.pick(None, self.decoder(), self.decoder())
        self.add_tokens(config)
        config["post_processor"] = self.post_processor(config)
        return config


def result(tokenizer, text):
    """None where the library panics or refuses the text."""
    try:
        return expected(tokenizer, [text])[0]
    except BaseException:  # PanicException is no Exception
        return None


def main(out, seed, count):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    texts = [text[:120] for text in strings(170, int(seed) + 100)]
    (out / "strings.json").write_text(json.dumps(texts, ensure_ascii=False))
    bases = [build(k.KINDS[name]) for name in BASES]
    charsmaps = [build(k.KINDS["t5"])["normalizer"]]
    mixer = Mixer(int(seed), charsmaps)
    made = 0
    while made < int(count):
        text = json.dumps(mixer.mix(mixer.draw.choice(bases)), ensure_ascii=False)
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception:  # parts that the library does not put together
            continue
        results = [result(tokenizer, one) for one in texts]
        if sum(one is None for one in results) > 100:
            continue
        made += 1
        folder = out / f"mixture{made}"
        folder.mkdir(exist_ok=True)
        (folder / "tokenizer.json").write_text(text)
        (folder / "expected.json").write_text(json.dumps(results, ensure_ascii=False))


main(*sys.argv[1:])
