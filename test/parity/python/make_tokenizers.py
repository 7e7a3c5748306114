"""Tokenizers of every kind, trained small, and what Hugging Face `tokenizers` makes of strings with them.

usage: make_tokenizers.py OUT SEED [COUNT [KIND…]]

OUT/strings.json             COUNT strings (2000)
OUT/<kind>/tokenizer.json
OUT/<kind>/expected.json     for each string {ids, begins, ends, special, decoded, skipped}: the ids without special tokens, their offsets in
                             UTF-16 code units, the ids with special tokens, those decoded, those decoded without special tokens
"""
import json
import pathlib
import sys
import tempfile

from tokenizers import Tokenizer, trainers

from tokenizer_kinds import KINDS
from tokenizer_strings import corpus, strings

TRAINERS = {"BPE": trainers.BpeTrainer, "Unigram": trainers.UnigramTrainer, "WordPiece": trainers.WordPieceTrainer, "WordLevel": trainers.WordLevelTrainer}
EMPTY = {"BPE": {"vocab": {}, "merges": []}, "Unigram": {"unk_id": None, "vocab": []}, "WordPiece": {"vocab": {}}, "WordLevel": {"vocab": {}}}


def charsmap(rule):
    """The compiled normalization of SentencePiece's rule of that name, base64."""
    import base64

    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    with tempfile.TemporaryDirectory() as folder:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the quick brown fox jumps over the lazy dog"] * 100), model_prefix=f"{folder}/m", vocab_size=60, hard_vocab_limit=False,
            normalization_rule_name=rule, minloglevel=2)  # fmt: skip
        model = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(f"{folder}/m.model").read_bytes())
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def fill_charsmaps(part):
    if isinstance(part, dict):
        if "precompiled_charsmap" in part and not part["precompiled_charsmap"].endswith("="):
            rule = part["precompiled_charsmap"]
            part["precompiled_charsmap"] = charsmap(rule) if rule in ("nmt_nfkc", "nfkc_cf") else rule
        for value in part.values():
            fill_charsmaps(value)
    elif isinstance(part, list):
        for value in part:
            fill_charsmaps(value)


def build(kind):
    """The tokenizer.json of a kind: trained with its normalizer and pre-tokenizer, then given what training does not set."""
    kind = json.loads(json.dumps(kind))
    fill_charsmaps(kind)
    model = kind["model"]
    config = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": kind.get("normalizer"),
        "pre_tokenizer": kind.get("pre_tokenizer"), "post_processor": None, "decoder": None, "model": {**EMPTY[model["type"]], **model},
    }  # fmt: skip
    options = dict(kind.get("trainer", {}))
    if model["type"] != "Unigram":
        options.setdefault("special_tokens", kind.get("tokens", []))
    if model["type"] in ("BPE", "WordPiece"):
        for key in ("continuing_subword_prefix", "end_of_word_suffix"):
            if model.get(key) is not None:
                options[key] = model[key]
    if model["type"] == "Unigram":
        options.setdefault("special_tokens", kind.get("tokens", ["<unk>"]))
        options.setdefault("unk_token", "<unk>")
    if model["type"] == "WordLevel":
        config["model"].setdefault("unk_token", "<unk>")
    if model["type"] == "Unigram":
        config["model"] = {"type": "Unigram", "unk_id": None, "vocab": []}
    tokenizer = Tokenizer.from_str(json.dumps(config))
    options.setdefault("vocab_size", 900)
    tokenizer.train_from_iterator(corpus(3), TRAINERS[model["type"]](show_progress=False, **options))
    trained = json.loads(tokenizer.to_str())
    vocab = trained["model"]["vocab"]
    if kind.get("bytes"):
        names = [f"<0x{byte:02X}>" for byte in range(256)]
        if isinstance(vocab, list):
            trained["model"]["vocab"] = vocab + [[name, -12.0] for name in names]
        else:
            for name in names:
                vocab.setdefault(name, len(vocab))
    for key, value in model.items():
        trained["model"][key] = value
    known = {piece: index for index, (piece, _) in enumerate(vocab)} if isinstance(vocab, list) else vocab
    size = len(trained["model"]["vocab"])
    added = []
    for token in kind.get("added", []):
        token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **token}
        if token["content"] not in known:
            token["id"] = size
            size += 1
        else:
            token["id"] = known[token["content"]]
        added.append(token)
    trained["added_tokens"] = sorted(added, key=lambda token: token["id"])
    ids = {**known, **{token["content"]: token["id"] for token in added}}
    trained["post_processor"] = with_ids(kind.get("post_processor"), ids)
    trained["decoder"] = kind.get("decoder")
    return trained


def with_ids(part, ids):
    """Templates name tokens only; the file also holds their ids."""
    if part is None:
        return None
    if part["type"] == "Sequence":
        return {**part, "processors": [with_ids(one, ids) for one in part["processors"]]}
    if part["type"] == "TemplateProcessing":
        names = {piece["SpecialToken"]["id"] for piece in part["single"] + part["pair"] if "SpecialToken" in piece}
        return {**part, "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in sorted(names)}}
    return {key: [value[0], ids[value[0]]] if key in ("sep", "cls") else value for key, value in part.items()}


def decode(tokenizer, ids, skip):
    """None where the library panics."""
    try:
        return tokenizer.decode(ids, skip_special_tokens=skip)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None


def expected(tokenizer, texts):
    out = []
    for text in texts:
        units = [0]
        for char in text:
            units.append(units[-1] + (2 if ord(char) > 0xFFFF else 1))
        plain = tokenizer.encode(text, add_special_tokens=False)
        special = tokenizer.encode(text).ids
        out.append({
            "ids": plain.ids, "begins": [units[begin] for begin, _ in plain.offsets], "ends": [units[end] for _, end in plain.offsets],
            "special": special, "decoded": decode(tokenizer, special, False), "skipped": decode(tokenizer, special, True),
        })  # fmt: skip
    return out


def main(out, seed, count=2000, *names):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    texts = strings(int(count), int(seed))
    (out / "strings.json").write_text(json.dumps(texts, ensure_ascii=False))
    for name, kind in KINDS.items():
        if names and name not in names:
            continue
        config = build(kind)
        folder = out / name
        folder.mkdir(exist_ok=True)
        text = json.dumps(config, ensure_ascii=False)
        (folder / "tokenizer.json").write_text(text)
        result = expected(Tokenizer.from_str(text), texts)
        (folder / "expected.json").write_text(json.dumps(result, ensure_ascii=False))
        print(name, len(config["model"]["vocab"]), sum(len(one["ids"]) for one in result))


if __name__ == "__main__":
    main(*sys.argv[1:])
