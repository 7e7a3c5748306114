#!/usr/bin/env python3
"""Writes judge.json.gz: the kinds of tokenizers of test/parity/python/tokenizer_kinds.py and check sums of what Hugging Face `tokenizers`
0.23.3 makes of 300 strings with them.

    python test/golden/tokenizers/make_judge.py

{strings, kinds: {name: {tokenizer, sums}}}: a sum is the CRC-32 of the JSON of [ids, begins, ends, special, decoded, skipped], as
make_tokenizers.py describes them, null where the library panics while decoding.
"""
import gzip
import json
import pathlib
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "parity" / "python"))
from make_tokenizers import build, expected  # noqa: E402
from tokenizer_kinds import KINDS  # noqa: E402
from tokenizer_strings import strings  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402


def check(result):
    if result["decoded"] is None or result["skipped"] is None:
        return None
    values = [result[key] for key in ("ids", "begins", "ends", "special", "decoded", "skipped")]
    # As JSON.stringify writes it.
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return zlib.crc32(text.encode())


def main():
    texts = strings(300, 41)
    kinds = {}
    for name, kind in KINDS.items():
        config = build(kind)
        tokenizer = Tokenizer.from_str(json.dumps(config))
        kinds[name] = {"tokenizer": config, "sums": [check(result) for result in expected(tokenizer, texts)]}
    golden = json.dumps({"from": "tokenizers 0.23.3", "strings": texts, "kinds": kinds}, ensure_ascii=False, separators=(",", ":"))
    path = HERE / "judge.json.gz"
    path.write_bytes(gzip.compress(golden.encode(), 9, mtime=0))
    print(len(kinds), path.stat().st_size)


main()
