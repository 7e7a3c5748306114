"""Patterns at the edges, each with texts of its own, judged by `re.fullmatch`: pattern, text, and true, false or "error".

    python test/golden/regex/make_cases.py --output test/golden/regex/cases.json
"""
import argparse
import json
import re
import warnings

warnings.simplefilter("ignore")

JUDGED = [
    (r'.(?<=a|b)c', 'ac', 'bc', 'cc'),
    (r'.+(?<=a|bc)d', 'ad'),
    (r'.+(?<=ab|cd)e', 'abe', 'cde', 'bde'),
    (r'(x)?.+(?<=(?(1)ab|cd))e', 'xabe', 'cde', 'abe'),
    (r'(x)?.+(?<=(?(1)a|cd))e', 'abe'),
    (r'.*(?<=(?:)*)b', 'ab'),
    (r'(a*).*(?<=\1{0})b', 'ab'),
    (r'(a*).*(?<=\1)b', 'ab'),
    (r'.*(?<=a{0})b', 'ab'),
    (r'.*(?<!a{2})b', 'aab', 'xab'),
    (r'(?i)[a-c]', 'A', 'C', 'D', '@', 'a', 'd', '`'),
    (r'(?i)@', '`', '@'),
    (r'(?i)\[', '{', '['),
    (r'(?i)z', 'Z', '{'),
    (r'(?i)k', '\u212a', 'K'),
    (r'(?ai)k', '\u212a', 'K'),
    (r'(?i)\u212a', 'k'),
    (r'(?i)s', '\u017f', 'S'),
    (r'(?ai)\u017f', 's', '\u017f'),
    (r'(?ai)[^k]', '\u212a', 'K', 'k'),
    (r'(?ai)1', '1', '2'),
    (r'(?ai)(.)\1', 'éé', 'éÉ', 'éü', 'aA'),
    (r'(?i)(.)\1', 'éÉ', 'éü', 'aA'),
    (r'(?ai)[@\[`{]', '@', '[', '`', '{'),
    (r'(?ai)é', 'é', 'É'),
    (r'(?ai)[A-z]', 'a', 'Z', '_', '@'),
    (r'(?i)\u0130', 'i', '\u0130', '\u0131'),
    (r'(?i)\ue943|\U0001e943', '\U0001e921', '\U0001e943'),
    (r'(?i)\U0001e921', '\U0001e943'),
    (r'\s', '\x1b', '\x1c', '\x1f', ' ', '\t', '\r', '\x0e', '\x85', '\u2028', '\u200b', '\xa0'),
    (r'(?a)\s', '\x1c', '\x1f', ' ', '\t', '\r', '\x0e', '\x08', '\x85', '\xa0'),
    (r'\S', '\x1c', '\x1b'),
    (r'\d', '0', '9', '\u0663', 'a', '/', ':'),
    (r'(?a)\d', '0', '9', '\u0663'),
    (r'(?a)\D', '\u0663', '5'),
    (r'\w', '_', 'a', '\u00e9', '\u0663', '-', '\u00bd'),
    (r'(?a)\w', '_', 'a', 'Z', '0', '9', '\u00e9', '@', '[', '`', '{', '/', ':'),
    (r'(?i)[^\W\d]', 'A', '5', '-'),
    (r'(?i)\w\W', 'a-', 'ab'),
    (r'[\d-x]', '-', '5', 'x', 'y'),
    (r'[^-a]', '-', 'a', 'b'),
    (r'[a-]', '-', 'a', 'b'),
    (r'[]a]', ']', 'a', 'b'),
    (r'[^]a]', ']', 'b'),
    (r'a{,2}', '', 'aa', 'aaa'),
    (r'a{2,}', 'a', 'aa', 'aaaa'),
    (r'a{,}', '', 'aaa'),
    (r'a{x}', 'a{x}', 'a'),
    (r'a{2}', 'a', 'aa', 'aaa'),
    (r'(a{1,2}?)(a*)', 'aaa'),
    (r'a++a', 'aaa'),
    (r'(?>a|ab)c', 'ac', 'abc'),
    (r'(a)|b\1', 'a', 'ba'),
    (r'(a*)b\1', 'aba', 'aabaa', 'aab'),
    (r'(?P<x>.)(?P=x)', 'aa', 'ab'),
    (r'(?i:A)b', 'ab', 'aB', 'Ab'),
    (r'(?i)a(?-i:b)', 'AB', 'Ab'),
    (r'(?s).', '\n'),
    (r'.', '\n', '\r', 'a'),
    (r'(?m)a$\n^b', 'a\nb'),
    (r'a$\n?', 'a', 'a\n'),
    (r'a\Z\n?', 'a', 'a\n'),
    (r'(?x) a b # c'+'\n'+' c', 'abc', 'a b'),
    (r'(?x:a b)c d', 'abc d', 'abcd'),
    (r'\ba\b-\Bx?', 'a-', 'a-x'),
    (r'\Aab', 'ab'),
    (r'\101\x41\u0041\U00000041\0', 'AAAA\0'),
    (r'(a)\1', 'aa'),
    (r'\12', '\n'),
    (r'(?#no)a', 'a'),
    (r'(?=ab)a.', 'ab', 'ac'),
    (r'(?!ab)a.', 'ab', 'ac'),
    (r'(a)(?(1)b|c)', 'ab', 'ac'),
    (r'(a)?(?(1)b|c)', 'ab', 'c', 'b'),
    (r'(?P<n>a)?(?(n)b)', 'ab', '', 'b'),
]

REFUSED = [
    r'(?<=a|bc)', r'(?P<1>a)', r'(?P<a>a)(?P<a>b)', r'\1', r'(\1)', r'(?P=a)', r'(?(2)a)', r'(?(0)a)', r'(?(1)a|b|c)(a)',
    r'[b-a]', r'[\d-\w]', r'[a-\d]', r'a{3,2}', r'a{4294967296}', r'\400', r'\xg1', r'\u12', r'\U00110000', r'\q', r'(?z)',
    r'(?i-i:a)', r'(?au)a', r'(?-a:a)', r'(?i-:a)', r'(?i', r'(?P', r'(?Px)', r'(?', r'*a', r'a|*', r'(?<a)', r'(?P<a', r'a)',
    r'(a', r'[', r'[]', r'(?#', '\\', r'(?<=(a)\1)b', r'a{1}{2}', r'a?{2}', r'a*?+', r'^*', r'(?:)*', r'$+',
]


def judge(pattern, text):
    try:
        return re.fullmatch(pattern, text) is not None
    except (re.error, OverflowError, ValueError):
        return "error"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    output = parser.parse_args().output
    pairs = [(pattern, text) for pattern, *texts in JUDGED for text in texts] + [(pattern, "") for pattern in REFUSED]
    lines = ",\n".join(json.dumps([pattern, text, judge(pattern, text)]) for pattern, text in pairs)
    with open(output, "w") as file:
        file.write(f"[\n{lines}\n]\n")
