"""Regular expressions, and what Python's `re` makes of each on names of modules.

    python test/golden/regex/make_patterns.py --output test/golden/regex/patterns.json

`--count` and `--seed` give other lists, for test/parity.

One row a pattern: the pattern, and "error" when `re` refuses it, else two masks in hexadecimal (bit i: name i): the names that fullmatch,
and those that match PEFT's rank and alpha patterns, rf"(.*\\.)?({pattern})$" ("error" when only that is refused). A third part gives the
groups of the first name that fullmatches, when there are any.
"""
import argparse
import json
import random
import re
import signal
import sys
import warnings

warnings.simplefilter("ignore")

NAMES = [
    f"model.layers.{i}.{m}"
    for i in (0, 1, 10, 21)
    for m in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
] + ["lm_head", "model.embed_tokens", "model.norm", "q_proj", "", "a", "aa", "ab", "abab", "aaab", "b", "-", "A.B", "ſK\n", "İı é中٣", "q_proj\n", "x\ny", "a b#c"]

BY_HAND = r"""
.*q_proj\Z|.*\.(?P<layer>\d+)\..*|.*layers\.\d{,1}\..*|[]x]|[^]x]+|(?P<n>a)(?P=n)|(?i)MODEL\.LAYERS\.0\..*|(?i:MODEL).*Q_PROJ|\Amodel.*
(?#comment)lm_head|lm(?#)_head|(?x) lm _ head # the head|(?x) lm\_ head|a*+ab|a*+b|(?>a*)b|(?>a|ab)b|a?+a|a{1,2}+b|(a|ab)(?:b|c)*
\N{HYPHEN-MINUS}|\055|\141|\x61|\u0061|\U00000061|\0|\00|\1|(a)\1|(a)(b)\2|(a)?\1b|(a|(b))\2|(?:(a)|b)*\1|((a)|b)+\2|(a*)*|(a*)+b|(a|)*b|(?:a?)*?b
q_proj$|q_proj$\n|q_proj\Z|^q_proj$|(?m)x$\ny|(?m)^y|(?ms)x.y|(?s)x.y|x.y|x\sy|x[\s\S]y|\w+|\W+|\d+|\D+|\s+|[\w.]+|[^\W\d_]+|(?a)\w+|(?a)\d|(?u)\w+|(?a:\w)+|(?i)k|(?i)s|(?ia)k|(?i)i.*|(?i)ſk\n
(?i)[a-z]+|(?i)[k-s]+|(?i)[^a]|(?i)é|(?i)[^k].*|(?-i:a)|(?i)(?-i:A).b|(?i:a)B|(?i-s:a)|(?s-i:a)|(?i-i:a)|(?-:a)|(?-a:a)|(?au)a|(?a)(?u)a|(?L)a|(?z)a|(?i|a(?i)|(?i)(?s)a|(?#x)(?i)A|(?:(?i)a)|a|(?i)b
(?<=a)b|a(?<=a)b|(?<!a)b|.*(?<=q_)proj|.*(?<!q_)proj|(?<=a*)b|(?<=a|bb)c|(?<=(a))b\1|(?<=(a)\1)b|(a)(?<=\1)b|(?=a)a|(?=(a))\1|(?!a).*|(?!(a))b|(?=a)*a|(?=a)+a|\b\w+\b|\B|\b|.*\bq_proj|.*\Bproj|.+\b
(?(1)a|b)|(a)?(?(1)b|a)|(a)?(?(1)b)|(?P<x>a)?(?(x)b|a)|(?(x)a)|(?(0)a)|(?(2)a|b)(a)|(a)(?(1)b|c|d)|(?(-1)a)|(?( 1 )a|b)(a)?|(?(+1)b|a)(c)?
[a-]|[-a]|[a\-b]|[a-\d]|[\d-a]|[z-a]|[|[]|[]|[^]|[\]]|[\b]|[\B]|[\A]|[\Z]|[\1]|[\01]|[\8]|[\q]|[[:alpha:]]|[a&&b]|[a--b]|[a||b]|[^^]|[\x2d-\x2f]|[\w-]|[+--]
a**|a*{2}|a+?|a??|a?+|a*??|a{2}{3}|(?:a{2}){3}|*|+a|?|{|}|a{|a{}|a{,}|a{,2}|a{2,}|a{2,1}|a{1|a{,|a{x}|a{1,x}|{1}|a{ 1}|a{1, 2}|a{99999999999}|a{4294967294}|^*|$*|\b*|(?:)*|(?:^)*|()*|()+a|(?:a{0}){3}
(|)|a)|(a|(?|(?P|(?P<|(?P<n|(?P<>a)|(?P<1>a)|(?P<n>a)(?P<n>b)|(?P<é>a)(?P=é)|(?P=n)|(?Pn)|(?<n>a)|(?<n>a)\k<n>|(?'n'a)|(?=|(?<|(?<x|(?:|(?>a|(?#a|\q|\e|\c|\k|\p{L}|\G|\K|\h|\R|\X|\z|\x|\x1|\xgg|\u12|\u{61}|\U0011ffff|\8|\400|\377|\ |\.|\_|\-|\/|\é|\
(?P<n>(?P=n))|(\1)|((a)\1)|(?P<a>.)(?P<b>.)(?P=b)(?P=a)|(a)(?i:\1)|(?i)(a)\1|(?i)(A)(?:\1|b)*|(a)(?:\1)|(a)\10|(a)\100|(a)\18|a|b|ab||a|a|||(?:|a)b|(?:a|)b|()|(?:)
.*\.layers\.(0|1|2)\.(self_attn|mlp)\..*_proj|model\.layers\.(?!0\.)\d+\..*|.*layers\.[01]\..*[qv]_proj|.*(q|k|v|o)_proj|(?:.*\.)?layers\.(?:1\d|2[0-3])\..*|.*\.(?P<block>layers\.0)\..*|^.*layers.[12]?\d.*$|.*attn.*
a(?#)|(?x)a #(|(?x)[ a#]|(?x) a {2} |(?x)a * ?b|(?x)( ?:a)|(?x: a )b| (?x)a|(?x-x:a)|(?-x: a)|(?x)(?-x: )a|(?x)a\ b\#c|(?x)a[ ]b[#]c|(?s-x:.)|(?m:^a)|(?m-s:a$)|(?x)|(?i)
""".strip("\n").splitlines()


def by_hand():
    # Rows are joined by "|", which is a metacharacter too: both the row and its pieces are patterns.
    for row in BY_HAND:
        yield row
        yield from row.split("|")


ATOMS = ["a", "b", "q_proj", ".", r"\.", "model", "layers", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", "_", "[a-z]", "[^.]", r"[\w.]", "[]a]", "[^]a-]", "[0-9_]", r"[\d_-]", "K", "s", "é", r"\x61", r"\141", r"\u0062", "^", "$", r"\A", r"\Z", r"\b", r"\B", r"\n", "-", " ", "#", "{", "}", ",", "]", "proj", "self_attn", "0", "1", "", r"\1", r"\2", "(?P=n)", r"\0", "/", "[[]", "(?#c)"]
QUANTIFIERS = ["", "", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{,2}", "{1,}", "{1,2}", "{0}", "{,}", "{1,2}?", "{2}+", "{", "{}", "{a}", "**"]
OPENERS = ["(", "(", "(?:", "(?:", "(?P<n>", "(?>", "(?=", "(?!", "(?<=", "(?<!", "(?i:", "(?s:", "(?a:", "(?x:", "(?-i:", "(?m:", "(?(1)", "(?i-s:", "(?(n)"]
HEADS = ["", "", "", "", "", "", "(?i)", "(?s)", "(?x)", "(?m)", "(?a)", "(?im)", "(?ix)"]
REALISTIC = [".*", r"\.", "layers", "model", r"\d+", "q_proj", "(?:q|v)_proj", "(self_attn|mlp)", "[0-9]", "[01]", ".*?", "_proj", "(?!0)", "(?=q)", r"(?P<n>\d+)", "gate", "attn", r"[^.]*", "(?i:Q)", "lm_head", r"\w+"]


def sequence(rng, depth):
    out = ""
    for _ in range(rng.randint(1, 3)):
        if depth > 0 and rng.random() < 0.35:
            inner = sequence(rng, depth - 1)
            if rng.random() < 0.4:
                inner += "|" + sequence(rng, depth - 1)
            piece = rng.choice(OPENERS) + inner + ")"
        else:
            piece = rng.choice(ATOMS)
        out += piece + rng.choice(QUANTIFIERS)
    return out


def patterns(count, seed):
    rng = random.Random(seed)
    seen = set()
    for pattern in by_hand():
        if pattern not in seen:
            seen.add(pattern)
            yield pattern
    while len(seen) < count:
        if rng.random() < 0.5:
            pattern = "".join(rng.choice(REALISTIC) for _ in range(rng.randint(1, 7)))
        else:
            pattern = rng.choice(HEADS) + sequence(rng, rng.randint(0, 3))
            if rng.random() < 0.15:
                pattern += "|" + sequence(rng, 1)
        if rng.random() < 0.03 and pattern:
            at = rng.randrange(len(pattern))
            pattern = pattern[:at] + pattern[at + 1:]
        if pattern not in seen:
            seen.add(pattern)
            yield pattern


def mask(function):
    return format(sum(1 << i for i, name in enumerate(NAMES) if function(name)), "x")


def judge(pattern):
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, ValueError, RecursionError):
        return [pattern, "error"]
    whole = mask(compiled.fullmatch)
    try:
        ending = mask(re.compile(rf"(.*\.)?({pattern})$").match)
    except (re.error, OverflowError, ValueError):
        ending = "error"
    first = next((compiled.fullmatch(name) for name in NAMES if compiled.fullmatch(name)), None)
    return [pattern, whole, ending] + ([list(first.groups())] if first and first.re.groups else [])


def in_time(pattern):
    """None when Python itself does not come to an end in half a second."""
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        return judge(pattern)
    except TimeoutError:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
    judged = (in_time(p) for p in patterns(options.count, options.seed))
    rows = ",\n    ".join(json.dumps(row) for row in judged if row is not None)
    with open(options.output, "w") as file:
        file.write(f'{{\n  "python": "{sys.version.split()[0]}",\n  "names": {json.dumps(NAMES)},\n  "patterns": [\n    {rows}\n  ]\n}}\n')


main()
