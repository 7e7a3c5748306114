"""Writes snippets.json and templates.json: what transformers renders (transformers 5.24, Jinja2 3.1.6, Python 3.11).

usage: make.py    (needs transformers; the tests need nothing)

snippets.json: [[source, text or null], …], each line of snippets.txt (⏎ is a line break) with the variables of variables.json.
templates.json: {name: [text or null, …]} for every template here with conversations.jsonl beside it.
"""
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "parity", "python"))
from conversations import conversations
from render_templates import make_tokenizer, render, spans


def read(name):
    return open(os.path.join(here, name), encoding="utf-8", newline="").read()


def write(name, text):
    open(os.path.join(here, name), "w", encoding="utf-8", newline="\n").write(text)


def lines(values):
    return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=True) for value in values) + "\n]\n"


def main():
    tokenizer = make_tokenizer()
    kwargs = json.loads(read("variables.json"))
    cases = []
    for line in read("snippets.txt").splitlines():
        source = line.replace("⏎", "\n")
        case = {"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": False, "kwargs": kwargs}
        cases.append([source, render(tokenizer, source, case)])
    write("snippets.json", lines(cases))

    texts = conversations()[::5]
    write("conversations.jsonl", "\n".join(texts) + "\n")
    parsed = [json.loads(text) for text in texts]
    rendered = {}
    for name in sorted(os.listdir(here)):
        if name.endswith(".jinja"):
            template = read(name)
            rendered[name] = {"texts": [render(tokenizer, template, case) for case in parsed]}
            if "generation %}" in template:
                rendered[name]["spans"] = [spans(tokenizer, template, case) for case in parsed]
    write("templates.json", json.dumps(rendered, ensure_ascii=True, indent=0) + "\n")


if __name__ == "__main__":
    main()
