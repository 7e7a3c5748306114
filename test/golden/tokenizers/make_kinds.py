"""Writes kinds.json: small tokenizers of every kind, and what Hugging Face tokenizers 0.23.3 does with some texts.

Needs the packages tokenizers and nothing else. Run in this folder: python make_kinds.py

kinds.json: bases, name -> tokenizer.json; kinds, [{ name, base, sections, model, outputs }], where `sections` replace those of the base and
`model` replaces fields of its model; texts; outputs, one a text: [ids, begins, ends, decoded, decoded without special tokens], offsets in
UTF-16 code units, or null where the library refuses the text.
"""
import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers as pre, processors, trainers

random.seed(7)
words = "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know".split()
corpus = [" ".join(random.choice(words) for _ in range(random.randint(3, 12))).capitalize() + random.choice([".", "!", "?", ", no?", ": 12 + 345 = 357"]) for _ in range(400)]
corpus += ["Café naïve, déjà vu — “quoted”", "こんにちは世界", "привет мир", "你好，世界", "don't we'll I'm it's"] * 12

texts = ["", " ", "  ", "a", " a", "a ", "▁", "▁▁a", "the first time", " the first  time ", "Hello, world!", "don't  we'll I'M", "<s>", "<s> the </s>", "  <s>  the", "the<s>the",
         "12 + 345 = 357", "x²½Ⅷ١٣", "Café naïve e\u0301", "こんにちは 世界。", "привет мир", "😀 👍🏽 👨\u200d👩", "a\nb\r\n\n c\t d", "\u00a0\u2028\u0085\u3000x", "\u200b\ufeff\x00\x07", "no way no way",
         "[MASK] now[MASK]  now  ", "way away ways", "...?!", "a.b,c;d", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "  \n  \n\nx", "the water of the people, the water", "\U0010ffff\ue000", "don't do not n't ' .", "##the ##", "<0x41>é<0xE9>",
         " ".join(corpus[:6])]
special = ["<unk>", "<s>", "</s>", "<pad>"]
template = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A $B", special_tokens=[("<s>", 1), ("</s>", 2)])


def trained(kind, split, vocab, **options):
    prefixes = {key: value for key, value in options.items() if key.endswith("fix")}
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(**options))
        alphabet = pre.ByteLevel.alphabet() if "ByteLevel" in str(split) else []
        trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=special, show_progress=False, limit_alphabet=512 if alphabet else 110, initial_alphabet=alphabet, **prefixes)
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=vocab, special_tokens=special, unk_token="<unk>", show_progress=False)
    elif kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        trainer = trainers.WordPieceTrainer(vocab_size=vocab, special_tokens=special, show_progress=False, limit_alphabet=60)
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        trainer = trainers.WordLevelTrainer(vocab_size=vocab, special_tokens=special, show_progress=False)
    tokenizer.pre_tokenizer = split
    tokenizer.train_from_iterator(corpus, trainer)
    return json.loads(tokenizer.to_str())


bases = {
    "byte": trained("bpe", pre.ByteLevel(add_prefix_space=False), 420),
    "bpe": trained("bpe", pre.Metaspace(split=False, prepend_scheme="always"), 300, unk_token="<unk>", fuse_unk=True),
    "suffix": trained("bpe", pre.BertPreTokenizer(), 200, unk_token="<unk>", end_of_word_suffix="</w>"),
    "prefix": trained("bpe", pre.Whitespace(), 220, unk_token="<unk>", continuing_subword_prefix="##"),
    "unigram": trained("unigram", pre.Metaspace(), 180),
    "wordpiece": trained("wordpiece", pre.BertPreTokenizer(), 200),
    "wordlevel": trained("wordlevel", pre.Whitespace(), 80),
}
for base in bases.values():
    base["pre_tokenizer"] = base["decoder"] = base["post_processor"] = base["normalizer"] = None


def part(value):
    return value if value is None or isinstance(value, (dict, list)) else json.loads(value.__getstate__())


kinds = []


def kind(name, base, model=None, **sections):
    sections = {key: part(value) for key, value in sections.items()}
    kinds.append({"name": name, "base": base, "sections": sections, "model": model or {}})


def with_bytes(base, bytes_=range(256)):
    vocab = dict(bases[base]["model"]["vocab"])
    for byte in bytes_:
        vocab["<0x%02X>" % byte] = len(vocab)
    return {"vocab": vocab, "byte_fallback": True}


def added(base, *tokens):
    return bases[base]["added_tokens"] + [{"id": 0, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **token} for token in tokens]


byte, bl = "byte", decoders.ByteLevel()
plain_bytes = pre.ByteLevel(add_prefix_space=False)
kind("byte level", byte, pre_tokenizer=plain_bytes, decoder=bl, post_processor=processors.ByteLevel(trim_offsets=False))
kind("byte level, offsets trimmed", byte, pre_tokenizer=plain_bytes, decoder=bl, post_processor=processors.ByteLevel(trim_offsets=True, add_prefix_space=False))
kind("byte level, a space before", byte, pre_tokenizer=pre.ByteLevel(add_prefix_space=True), decoder=bl, post_processor=processors.RobertaProcessing(("</s>", 2), ("<s>", 1)))
kind("byte level, trim and template", byte, pre_tokenizer=plain_bytes, decoder=bl, post_processor=processors.Sequence([processors.ByteLevel(trim_offsets=True), template]))
kind("byte level, single digits, spaces", byte, pre_tokenizer=pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=True)]), decoder=bl)
kind("byte level, whole text", byte, pre_tokenizer=pre.ByteLevel(add_prefix_space=False, use_regex=False), decoder=bl)
kind("byte level, then others", byte, pre_tokenizer=pre.Sequence([plain_bytes, pre.Digits(individual_digits=False), pre.Punctuation("merged_with_previous")]), decoder=bl)
kind("byte level, words before merges", byte, {"ignore_merges": True}, pre_tokenizer=plain_bytes, decoder=bl)
kind("merges as strings", byte, {"merges": [" ".join(merge) for merge in bases[byte]["model"]["merges"]]}, pre_tokenizer=plain_bytes, decoder=bl)
kind("added tokens", byte, pre_tokenizer=plain_bytes, decoder=bl, post_processor=processors.ByteLevel(trim_offsets=True), added_tokens=added(byte, {"content": "way", "single_word": True}, {"content": "time", "lstrip": True, "normalized": True}, {"content": "345", "lstrip": True, "rstrip": True}, {"content": "  "}, {"content": "   ", "rstrip": True}, {"content": "[MASK]", "lstrip": True, "special": True}))
llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
for name, pattern in [("Llama 3", llama3), ("Qwen 2", llama3.replace("{1,3}", ""))]:
    kind(name, byte, pre_tokenizer=pre.Sequence([pre.Split(Regex(pattern), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]), decoder=bl, normalizer=normalizers.NFC())

llama = dict(normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), post_processor=template,
             decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
kind("Llama 2", "bpe", with_bytes("bpe"), **llama)
kind("Llama 2, some bytes", "bpe", with_bytes("bpe", range(0x80, 0xF0)), **llama)
kind("Llama 2, unknown fused", "bpe", **llama)
kind("Llama 2, unknown one by one", "bpe", {"fuse_unk": False}, **llama)
kind("Llama 2, unknown left out", "bpe", {"unk_token": None}, **llama)
for scheme in ["always", "first", "never"]:
    for split in [True, False]:
        metaspace = {"replacement": "▁", "prepend_scheme": scheme, "split": split}
        kind(f"Metaspace {scheme}{', split' if split else ''}", "bpe", with_bytes("bpe"), pre_tokenizer={"type": "Metaspace", **metaspace}, decoder={"type": "Metaspace", **metaspace})
kind("end of word", "suffix", pre_tokenizer=pre.BertPreTokenizer(), decoder=decoders.BPEDecoder())
kind("continuing prefix", "prefix", pre_tokenizer=pre.Whitespace(), decoder=decoders.WordPiece(cleanup=True))

spaces = pre.Metaspace()
kind("unigram", "unigram", pre_tokenizer=spaces, decoder=decoders.Metaspace(), post_processor=template)
kind("unigram, whole text", "unigram", pre_tokenizer=pre.Metaspace(split=False), decoder=decoders.Metaspace())
kind("unigram, words", "unigram", pre_tokenizer=pre.Sequence([pre.WhitespaceSplit(), spaces]), decoder=decoders.Metaspace())
kind("unigram, scripts", "unigram", pre_tokenizer=pre.UnicodeScripts())
vocab = bases["unigram"]["model"]["vocab"]
kind("unigram, bytes", "unigram", {"vocab": vocab + [["<0x%02X>" % byte, -20.0] for byte in range(256)], "byte_fallback": True}, pre_tokenizer=spaces, decoder=decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]))
kind("unigram, equal scores", "unigram", {"vocab": [[text, -1.0 * (i % 3)] for i, (text, _) in enumerate(vocab)]}, pre_tokenizer=spaces)
kind("unigram, twins", "unigram", {"vocab": vocab + [[text, score + 1] for text, score in vocab[5:40]]}, pre_tokenizer=spaces)
kind("unigram, no unknown", "unigram", {"unk_id": None}, pre_tokenizer=spaces)

kind("BERT", "wordpiece", pre_tokenizer=pre.BertPreTokenizer(), decoder=decoders.WordPiece(cleanup=True), normalizer=normalizers.BertNormalizer(), post_processor=processors.BertProcessing(("</s>", 2), ("<s>", 1)))
kind("BERT, short words", "wordpiece", {"max_input_chars_per_word": 4}, pre_tokenizer=pre.BertPreTokenizer(), decoder=decoders.WordPiece(cleanup=False))
kind("word pieces, CTC", "wordpiece", pre_tokenizer=pre.Sequence([pre.Whitespace(), pre.Digits(individual_digits=True)]), decoder=decoders.CTC("<pad>", "|", True))
for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
    kind(f"Punctuation {behavior}", "wordpiece", pre_tokenizer=pre.Sequence([pre.WhitespaceSplit(), pre.Punctuation(behavior)]))
    for invert in [False, True]:
        suffix = f" {behavior}{', inverted' if invert else ''}"
        kind("Split o" + suffix, "wordpiece", pre_tokenizer=pre.Split("o", behavior, invert=invert))
        kind("Split digits and spaces" + suffix, "wordpiece", pre_tokenizer=pre.Split(Regex(r"\d+|\s"), behavior, invert=invert))
        kind("Split empty" + suffix, "wordpiece", pre_tokenizer=pre.Split(Regex("a*"), behavior, invert=invert))
kind("FixedLength", "wordpiece", pre_tokenizer=pre.FixedLength(3))
kind("CharDelimiterSplit", "wordpiece", pre_tokenizer=pre.CharDelimiterSplit("e"))
kind("word level", "wordlevel", pre_tokenizer=pre.Whitespace())
kind("normalised added tokens", "wordpiece", pre_tokenizer=pre.BertPreTokenizer(), decoder=decoders.WordPiece(), normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), added_tokens=added("wordpiece", {"content": "CAFÉ", "normalized": True}, {"content": "No Way", "normalized": True, "rstrip": True}))

for entry in kinds:
    described = {**json.loads(json.dumps(bases[entry["base"]])), **entry["sections"]}
    described["model"] = {**described["model"], **entry["model"]}
    tokenizer = Tokenizer.from_str(json.dumps(described))
    entry["outputs"] = []
    for text in texts:
        try:
            encoding = tokenizer.encode(text)
        except BaseException:
            entry["outputs"].append(None)
            continue
        unit = [len(text[:i].encode("utf-16-le")) // 2 for i in range(len(text) + 1)]
        clamp = lambda i: unit[min(i, len(text))]
        ids = encoding.ids
        entry["outputs"].append([ids, [clamp(a) for a, _ in encoding.offsets], [clamp(b) for _, b in encoding.offsets], tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)])

with open("kinds.json", "w", encoding="utf-8") as out:
    out.write('{"bases":{\n' + ",\n".join(f"{json.dumps(name)}:{json.dumps(base, ensure_ascii=False, separators=(',', ':'))}" for name, base in bases.items()))
    out.write('},\n"texts":' + json.dumps(texts, ensure_ascii=False) + ',\n"kinds":[\n')
    out.write(",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in kinds) + "]}\n")
print(len(kinds), "kinds")
