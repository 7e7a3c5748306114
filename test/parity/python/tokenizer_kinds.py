"""The kinds of tokenizers that real models use, as the parts of their tokenizer.json."""

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""
)


def sequence(field, *parts):
    return {"type": "Sequence", field: list(parts)}


def normalizers(*parts):
    return sequence("normalizers", *parts)


def pre(*parts):
    return sequence("pretokenizers", *parts)


def split(pattern, behavior="Isolated", invert=False, literal=False):
    return {"type": "Split", "pattern": {"String" if literal else "Regex": pattern}, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, trim=True, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def replace(pattern, content, literal=True):
    return {"type": "Replace", "pattern": {"String" if literal else "Regex": pattern}, "content": content}


def metaspace(scheme="always", split_words=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split_words}


def template(*single, pair=()):
    def piece(name):
        return {"Sequence": {"id": name[1:], "type_id": 0}} if name.startswith("$") else {"SpecialToken": {"id": name, "type_id": 0}}

    return {"type": "TemplateProcessing", "single": [piece(name) for name in single], "pair": [piece(name) for name in (pair or (*single, "$B"))], "special_tokens": {}}


def bert(**options):
    return {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **options}


def token(content, **flags):
    return {"content": content, **flags}


def bpe(**options):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
            "byte_fallback": False, "ignore_merges": False, **options}  # fmt: skip


NFC, NFD, NFKC, NFKD = ({"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD"))
LOWER, ACCENTS, NMT = {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "Nmt"}
STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}
BYTES_OUT = byte_level()
LLAMA_OUT = sequence("decoders", replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})
WORDPIECE_OUT = {"type": "WordPiece", "prefix": "##", "cleanup": True}
ALPHABET = {"initial_alphabet": __import__("tokenizers").pre_tokenizers.ByteLevel.alphabet()}
SENTENCE = [token("<unk>"), token("<s>"), token("</s>")]
IM = [token("<|endoftext|>"), token("<|im_start|>"), token("<|im_end|>")]
BERT_TOKENS = [token(name) for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
BERT_OUT = template("[CLS]", "$A", "[SEP]", pair=("[CLS]", "$A", "[SEP]", "$B", "[SEP]"))
XLMR = [token("<s>"), token("<pad>"), token("</s>"), token("<unk>"), token("<mask>", lstrip=True)]


def byte_bpe(normalizer=None, pre_tokenizer=None, added=IM, post=None, decoder=BYTES_OUT, **options):
    return {"model": bpe(**options), "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "added": added, "trainer": ALPHABET, "decoder": decoder,
            "post_processor": post}  # fmt: skip


def llama(**changes):
    return {"model": bpe(unk_token="<unk>", fuse_unk=True, byte_fallback=True), "bytes": True, "tokens": ["<unk>", "<s>", "</s>"], "added": SENTENCE,
            "normalizer": normalizers({"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")), "post_processor": template("<s>", "$A"), "decoder": LLAMA_OUT,
            "trainer": {"max_token_length": 16}, **changes}  # fmt: skip


def unigram(**changes):
    return {"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False}, "tokens": ["<unk>", "<s>", "</s>", "<pad>"], "trainer": {"vocab_size": 700},
            "pre_tokenizer": metaspace(), "decoder": metaspace(), "added": [token("<unk>"), token("<s>"), token("</s>"), token("<pad>")],
            "post_processor": template("$A", "</s>"), **changes}  # fmt: skip


def word_piece(**changes):
    return {"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
            "tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "added": BERT_TOKENS, "normalizer": bert(), "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": BERT_OUT, "decoder": WORDPIECE_OUT, **changes}  # fmt: skip


def word_level(pre_tokenizer, **changes):
    return {"model": {"type": "WordLevel", "unk_token": "<unk>"}, "tokens": ["<unk>"], "pre_tokenizer": pre_tokenizer, "added": [token("<unk>")], **changes}


KINDS = {
    # BPE over characters, SentencePiece's spaces
    "llama2": llama(),
    "mistral": llama(added=[*SENTENCE, token("[INST]"), token("[/INST]")], post_processor=template("<s>", "$A", pair=("<s>", "$A", "<s>", "$B"))),
    "tinyllama-special-normalized": llama(added=[token("<unk>", normalized=True), token("<s>", normalized=True), token("</s>", normalized=True)]),
    "mistral-metaspace-first": llama(normalizer=None, pre_tokenizer=metaspace("first", False), decoder=sequence("decoders", replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})),
    "llama2-metaspace-always": llama(normalizer=None, pre_tokenizer=metaspace("always", True), decoder=metaspace("always", True)),
    "gemma": llama(normalizer=replace(" ", "▁"), pre_tokenizer=split(" ", "MergedWithPrevious", literal=True), added=[*SENTENCE, token("\n\n", special=False), token("  ", special=False)],
                   decoder=sequence("decoders", replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"})),
    "gemma-metaspace-never": llama(normalizer=None, pre_tokenizer=metaspace("never", False), decoder=metaspace("never", False)),
    "phi3": llama(added=[*SENTENCE, token("<|endoftext|>"), token("<|im_start|>", rstrip=True), token("<|im_end|>", rstrip=True), token("<think>", special=False, normalized=True)], post_processor=None),
    "bpe-unk-unfused": llama(model=bpe(unk_token="<unk>"), bytes=False),
    "bpe-unk-fused": llama(model=bpe(unk_token="<unk>", fuse_unk=True), bytes=False),
    "bpe-no-unk": {"model": bpe(), "pre_tokenizer": {"type": "Whitespace"}, "trainer": {"limit_alphabet": 60}, "decoder": {"type": "Fuse"}},
    "bpe-byte-fallback-partial": llama(model=bpe(unk_token="<unk>", byte_fallback=True), bytes=False, tokens=["<unk>", "<s>", "</s>", "<0xE2>", "<0x41>"]),
    "clip": {"model": bpe(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""), "tokens": ["<|startoftext|>", "<|endoftext|>"],
             "normalizer": normalizers(NFC, replace(r"\s+", " ", False), LOWER), "trainer": ALPHABET,
             "pre_tokenizer": pre(split(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "Removed", True), byte_level()),
             "added": [token("<|startoftext|>", normalized=True), token("<|endoftext|>")], "decoder": BYTES_OUT,
             "post_processor": {"type": "RobertaProcessing", "sep": ["<|endoftext|>", 0], "cls": ["<|startoftext|>", 0], "trim_offsets": False, "add_prefix_space": False}},
    "openai-gpt": {"model": bpe(unk_token="<unk>", end_of_word_suffix="</w>"), "tokens": ["<unk>"], "normalizer": bert(), "pre_tokenizer": {"type": "BertPreTokenizer"},
                   "added": [token("<unk>")], "decoder": {"type": "BPEDecoder", "suffix": "</w>"}},
    "bpe-continuing-prefix": {"model": bpe(unk_token="<unk>", continuing_subword_prefix="##"), "tokens": ["<unk>"], "pre_tokenizer": {"type": "WhitespaceSplit"}, "added": [token("<unk>")], "decoder": WORDPIECE_OUT},
    # BPE over bytes
    "gpt2": byte_bpe(pre_tokenizer=byte_level(), added=[token("<|endoftext|>")], post=byte_level(True, False)),
    "gpt2-prefix-space": byte_bpe(pre_tokenizer=byte_level(True), post=byte_level(True, True), added=[token("<|endoftext|>", normalized=True), token("<mask>", lstrip=True)]),
    "llama3": byte_bpe(pre_tokenizer=pre(split(CL100K), byte_level(regex=False)), ignore_merges=True, post=sequence("processors", byte_level(), template("<|im_start|>", "$A"))),
    "qwen2": byte_bpe(NFC, pre(split(QWEN2), byte_level(regex=False)), added=[*IM, token("<think>", special=False)], post=byte_level(False, False)),
    "o200k": byte_bpe(pre_tokenizer=pre(split(O200K), byte_level(regex=False)), ignore_merges=True, post=byte_level(True, False)),
    "deepseek": byte_bpe(pre_tokenizer=pre(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"), {"type": "Digits", "individual_digits": True}, byte_level(regex=False)), post=byte_level(False, False)),
    "deepseek3": byte_bpe(normalizers(), pre(split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(DEEPSEEK3), byte_level(regex=False)), post=template("<|im_start|>", "$A")),
    "smollm": byte_bpe(pre_tokenizer=pre({"type": "Digits", "individual_digits": True}, byte_level())),
    "starcoder": byte_bpe(pre_tokenizer=pre({"type": "Digits", "individual_digits": True}, byte_level(regex=True)), post=byte_level(False, False)),
    "falcon": byte_bpe(pre_tokenizer=pre({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")), post=byte_level(False, True)),
    "bloom": byte_bpe(pre_tokenizer=pre(split(" ?[^(\\s|[.,!?…。，、।۔،])]+"), byte_level(regex=False)), post=byte_level(False, False), added=[token("<unk>"), token("<s>"), token("</s>"), token("<pad>")]),
    "phi2": byte_bpe(pre_tokenizer=byte_level(), added=[token("<|endoftext|>"), token("  ", special=False, normalized=True), token("\n\n", special=False, normalized=True)], post=byte_level(False)),
    "neox": byte_bpe(NFC, byte_level(False, True), added=[*IM, token("  ", special=False, normalized=True)], post=byte_level(False, True)),
    "roberta": byte_bpe(pre_tokenizer=byte_level(), added=XLMR, post={"type": "RobertaProcessing", "sep": ["</s>", 0], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}),
    "roberta-prefix": byte_bpe(pre_tokenizer=byte_level(True, False), added=XLMR, post={"type": "RobertaProcessing", "sep": ["</s>", 0], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True}),
    "byte-level-normalizer": byte_bpe(normalizers(NFC, {"type": "ByteLevel"}), split("Ġ", "MergedWithNext", literal=True), post=None),
    "kimi": byte_bpe(pre_tokenizer=pre(split(r"[\p{Han}]+|[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|[\p{L}&&[^\p{Han}\p{Lu}]]+|\p{N}{1,3}|\s+(?!\S)|\s+"), byte_level(regex=False))),
    # Unigram
    "t5": unigram(normalizer={"type": "Precompiled", "precompiled_charsmap": "nmt_nfkc"}, pre_tokenizer=pre({"type": "WhitespaceSplit"}, metaspace()), added=[token("<pad>"), token("</s>"), token("<unk>"), token("<extra_id_0>")]),
    "xlm-roberta": unigram(normalizer=normalizers({"type": "Precompiled", "precompiled_charsmap": "nmt_nfkc"}, replace(r" {2,}", " ", False)), added=XLMR, post_processor=template("<s>", "$A", "</s>")),
    "albert": unigram(normalizer=normalizers(replace("``", '"'), replace("''", '"'), NFKD, ACCENTS, LOWER, {"type": "Precompiled", "precompiled_charsmap": "nfkc_cf"}), added=[token("<pad>"), token("<unk>"), token("[CLS]"), token("[SEP]"), token("[MASK]", lstrip=True)],
                      post_processor=template("[CLS]", "$A", "[SEP]")),
    "xlnet": unigram(normalizer=normalizers(replace("``", '"'), replace("''", '"'), {"type": "Precompiled", "precompiled_charsmap": "nmt_nfkc"}, replace(r" {2,}", " ", False)), post_processor=template("$A", "</s>", "<s>")),
    "unigram-byte-fallback": unigram(model={"type": "Unigram", "unk_id": 0, "byte_fallback": True}, bytes=True, normalizer=replace(" ", "▁"), pre_tokenizer=None, decoder=LLAMA_OUT),
    "unigram-first": unigram(normalizer=normalizers(NMT, NFKC, replace(r"\s+", " ", False)), pre_tokenizer=metaspace("first"), decoder=metaspace("first")),
    "unigram-digits": unigram(pre_tokenizer=pre({"type": "UnicodeScripts"}, {"type": "Digits", "individual_digits": True}, metaspace("never"))),
    # WordPiece and WordLevel
    "bert-uncased": word_piece(),
    "bert-cased": word_piece(normalizer=bert(lowercase=False, strip_accents=False)),
    "bert-multilingual": word_piece(normalizer=bert(lowercase=False, strip_accents=None, handle_chinese_chars=True), post_processor={"type": "BertProcessing", "sep": ["[SEP]", 0], "cls": ["[CLS]", 0]}),
    "bert-accents-kept": word_piece(normalizer=bert(strip_accents=False, clean_text=False, handle_chinese_chars=False), decoder={"type": "WordPiece", "prefix": "##", "cleanup": False}),
    "mpnet": word_piece(post_processor={"type": "RobertaProcessing", "sep": ["[SEP]", 0], "cls": ["[CLS]", 0], "trim_offsets": True, "add_prefix_space": False}, added=[*BERT_TOKENS[:4], token("[MASK]", lstrip=True)]),
    "word-piece-short": word_piece(model={"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 6}, normalizer=normalizers(NFD, LOWER, ACCENTS), pre_tokenizer={"type": "Whitespace"}),
    "word-level-whitespace": word_level({"type": "Whitespace"}, normalizer=NFKC, added=[token("<unk>"), token("added", special=False), token("wholeword", single_word=True, special=False)]),
    "word-level-whitespace-split": word_level({"type": "WhitespaceSplit"}, normalizer=STRIP, decoder={"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}),
    "word-level-delimiter": word_level({"type": "CharDelimiterSplit", "delimiter": "-"}, normalizer={"type": "Strip", "strip_left": False, "strip_right": True}),
    "word-level-scripts": word_level(pre({"type": "UnicodeScripts"}, {"type": "WhitespaceSplit"}), normalizer=NFKD),
    "word-level-punctuation": word_level(pre({"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}), decoder=sequence("decoders", {"type": "Fuse"}, {"type": "Strip", "content": "t", "start": 2, "stop": 1})),
    "word-level-fixed-length": word_level({"type": "FixedLength", "length": 3}, normalizer=normalizers(NMT, STRIP)),
    # Every way to split
    "split-removed": word_level(split(r"\s+", "Removed")),
    "split-isolated-invert": word_level(split(r"\w+", "Isolated", True)),
    "split-previous": word_level(split(r"[aeiou ]", "MergedWithPrevious")),
    "split-next": word_level(split(r"[aeiou ]", "MergedWithNext")),
    "split-contiguous": word_level(split(r"[aeiou ]", "Contiguous")),
    "split-previous-invert": word_level(split(r"\p{L}", "MergedWithPrevious", True)),
    "split-next-literal": word_level(split("a", "MergedWithNext", literal=True)),
    "punctuation-previous": word_level({"type": "Punctuation", "behavior": "MergedWithPrevious"}),
    "punctuation-removed": word_level({"type": "Punctuation", "behavior": "Removed"}),
    # Added tokens with every flag
    "added-flags": byte_bpe(NFC, byte_level(), added=[token("<s>", lstrip=True), token("</s>", rstrip=True), token("<mask>", lstrip=True, rstrip=True), token("added", special=False, single_word=True),
                            token("addedtoken", special=False), token("ab", special=False, single_word=True, lstrip=True), token("\u00e9t\u00e9", special=False, normalized=True), token("wholeword", special=False, single_word=True, normalized=True, rstrip=True)]),
    "added-lowercased": word_piece(added=[*BERT_TOKENS, token("ADDED", special=False, normalized=True), token("Addedtoken", special=False), token("\u00e9t\u00e9", special=False, normalized=True)]),
    "strip-accents-replace": llama(normalizer=normalizers(NFD, ACCENTS, replace(r"\d+", "0", False), replace("a", ""), {"type": "Prepend", "prepend": "▁▁"}, replace(" ", "▁"), LOWER)),
    "prepend-then-forms": llama(normalizer=normalizers({"type": "Prepend", "prepend": "▁"}, NFKC, LOWER, replace(" ", "▁"), {"type": "Strip", "strip_left": True, "strip_right": False})),
}  # fmt: skip
