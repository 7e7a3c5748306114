"""Renders every *.jinja of a folder on every conversation with transformers' apply_chat_template.

usage: render_templates.py <folder of templates> <output folder>

Writes conversations.jsonl, and for each template <name>.json: a list of texts, or null where Python refuses; with `{% generation %}` blocks also
<name>.spans.json, positions counted in code points.
"""
import json, os, re, sys
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template
from conversations import conversations


def make_tokenizer():
    inner = Tokenizer(models.WordLevel({"[UNK]": 0, "<s>": 1, "</s>": 2, "<pad>": 3}, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="[UNK]")


def options(conversation):
    rest = {key: conversation[key] for key in ("tools", "documents") if key in conversation}
    return {**rest, "add_generation_prompt": conversation["add_generation_prompt"], **conversation.get("kwargs", {})}


def render(tokenizer, template, conversation):
    try:
        return tokenizer.apply_chat_template(conversation["messages"], chat_template=template, tokenize=False, **options(conversation))
    except Exception:
        return None


def spans(tokenizer, template, conversation):
    from transformers.utils.chat_template_utils import _normalize_chat_messages
    try:
        given = {**tokenizer.special_tokens_map, **options(conversation)}
        _, found = render_jinja_template([_normalize_chat_messages(conversation["messages"])], chat_template=template, return_assistant_tokens_mask=True, **given)
        return found[0]
    except Exception:
        return None


def main(folder, output):
    os.makedirs(output, exist_ok=True)
    tokenizer = make_tokenizer()
    texts = conversations()
    with open(os.path.join(output, "conversations.jsonl"), "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(texts) + "\n")
    cases = [json.loads(text) for text in texts]
    for name in sorted(os.listdir(folder)):
        if not name.endswith((".jinja", ".jinja2")):
            continue
        template = open(os.path.join(folder, name), encoding="utf-8", newline="").read()
        rendered = [render(tokenizer, template, case) for case in cases]
        json.dump(rendered, open(os.path.join(output, name + ".json"), "w", encoding="utf-8"))
        if re.search(r"\{%-?\s*generation\s*-?%\}", template):
            json.dump([spans(tokenizer, template, case) for case in cases], open(os.path.join(output, name + ".spans.json"), "w"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
