"""
conversations.json: conversations and pairs of prompt and completion as transformers and tokenizers encode them.

Small tokenizers of the kinds that differ at the seams of a text (a dummy prefix by a normalizer, by Metaspace, by byte level; none), times
templates that mark what the assistant says ({% generation %}) and their twins that do not, times conversations. For each: the ids of
apply_chat_template(tokenize=True) and the assistant's mask. A template without marks has the mask of its twin.

Made with transformers 5.24.0, tokenizers 0.23.3.    Usage: python make_conversations_golden.py > conversations.json
"""
import json
import sys

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "The quick brown fox jumps over the lazy dog. Hello there, how are you today?",
    "What is the sum of 3 and 4? The sum is 7. Add, multiply and divide the numbers.",
    "Instruction: write a short poem about the sea.\n\nThe sea is wide, the sea is blue,\n  and so are you.",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))  # 3",
    "USER: hi ASSISTANT: Hello! [INST] question [/INST] answer system user assistant",
] * 4
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def special(names):
    return [AddedToken(name, special=True, normalized=False) for name in names]


def bos(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )


def llama2():
    """As in Llama 2's and TinyLlama's tokenizer.json: ▁ before a text and for every space, bytes for what is unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    # Words keep apart while the merges are learnt, as SentencePiece keeps them; the tokenizer itself splits nothing.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=560, special_tokens=SPECIAL + alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    described = json.loads(tokenizer.to_str())
    described["pre_tokenizer"] = None
    described["added_tokens"] = [token for token in described["added_tokens"] if token["content"] in SPECIAL]
    tokenizer = Tokenizer.from_str(json.dumps(described))
    bos(tokenizer)
    return tokenizer


def metaspace(scheme):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    letters = [chr(code) for code in range(33, 127)] + ["\n", "é", "ü", "🙂"]
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    bos(tokenizer)
    return tokenizer


def byte_level(prefix, begins):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=460,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if begins:
        bos(tokenizer)
    return tokenizer


TOKENIZERS = {
    "llama2": llama2(),
    "metaspace-always": metaspace("always"),
    "metaspace-first": metaspace("first"),
    "byte-level": byte_level(False, False),
    "byte-level-bos": byte_level(False, True),
    "byte-level-prefix": byte_level(True, False),
}

# `generation` marks are written as «…» here: with them a template is marked, without them it is its twin.
TEMPLATES = {
    "chatml": "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}«{{ m.content + '<|im_end|>' }}»{{ '\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama2": "{% for m in messages %}{% if m.role == 'assistant' %}«{{ ' ' + m.content + ' ' + eos_token }}»"
    "{% elif m.role == 'system' %}{{ bos_token + '<<SYS>>' + m.content + '<</SYS>>' }}"
    "{% else %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}",
    "trimmed": "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ '### Answer:\n' }}«{{ m.content | trim }}{{ eos_token }}»{{ '\n\n' }}"
    "{% else %}{{ '### ' + m.role + ':\n' + m.content | trim + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Answer:\n' }}{% endif %}",
    "vicuna": "{% for m in messages %}{% if m.role == 'assistant' %}{{ 'ASSISTANT:' }}«{{ ' ' + m.content + eos_token }}»"
    "{% else %}{{ m.role | upper + ': ' + m.content + ' ' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
    # What the assistant says is marked without the token that ends it: believed, as transformers believes it.
    "content-only": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}«{{ m.content }}»"
    "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}",
}
MARKED_ONLY = {"content-only"}


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


CONVERSATIONS = [
    [user("hi"), assistant("Hello")],
    [{"role": "system", "content": "Be brief."}, user("Hi\nthere"), assistant(" Hello "), user("Bye"), assistant("Bye!")],
    [user("How are you?"), assistant("The sum is 7.\n"), user("  What?"), assistant("  and so\n\nare you")],
    [user("add"), assistant("def add(a, b):\n    return a + b"), user("3 and 4"), assistant("7"), user("?"), assistant("7")],
    [user("smile 🙂"), assistant("🙂🙂 über"), user("é"), assistant("日本 é 🙂")],
    [user("Say ASSISTANT: x</s>"), assistant("[INST] no [/INST] <|im_start|>user")],
    [user("a"), assistant("### Answer:\nb"), user("### user:\nc"), assistant("ASSISTANT: d")],
    [user("only a question")],
]

PAIRS = [
    ["#:\n", "Hello there"],
    ["What is the sum of 3 and 4? ", "The sum is 7."],
    ["Instruction: add\n\n### Response:\n", "  7\n"],
    ["a", " b"],
    ["", "Hello"],
    ["smile", "🙂 é 日本"],
    ["The sea is", " wide, the sea is blue"],
    ["ends in a mark</s>", "Hello"],
    ["x", "Hello</s>"],
]


def encode(tokenizer, template, messages, masked):
    out = tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=masked
    )
    ids = out["input_ids"]
    return ids, (out["assistant_masks"] if masked else None)


def pair(raw, prompt, completion):
    """Ids of the prompt, and of both in one text."""
    return {
        "prompt": prompt,
        "completion": completion,
        "promptIds": raw.encode(prompt).ids,
        "jointIds": raw.encode(prompt + completion).ids,
    }


result = {
    "made_with": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
    "templates": {},
    "conversations": CONVERSATIONS,
    "tokenizers": {},
}
for name, source in TEMPLATES.items():
    marked = source.replace("«", "{% generation %}").replace("»", "{% endgeneration %}")
    result["templates"][f"{name}, marked"] = marked
    if name not in MARKED_ONLY:
        result["templates"][name] = source.replace("«", "").replace("»", "")
for name, raw in TOKENIZERS.items():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>", clean_up_tokenization_spaces=False
    )
    cases = []
    for template in TEMPLATES:
        marked = result["templates"][f"{template}, marked"]
        for index, messages in enumerate(CONVERSATIONS):
            ids, mask = encode(tokenizer, marked, messages, True)
            if template not in MARKED_ONLY:
                assert encode(tokenizer, result["templates"][template], messages, False)[0] == ids
            assert len(mask) == len(ids)
            cases.append({"template": template, "conversation": index, "ids": ids, "mask": "".join(map(str, mask))})
    result["tokenizers"][name] = {
        "tokenizer": json.loads(raw.to_str()),
        "cases": cases,
        "pairs": [pair(raw, *both) for both in PAIRS],
    }
json.dump(result, sys.stdout, ensure_ascii=False, separators=(",", ":"))
