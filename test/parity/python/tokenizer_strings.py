"""Strings that tokenizers are judged on: prose, code, every script, emoji, combining marks, controls, white space, digits, added tokens."""
import random
import unicodedata

WORDS = (
    "the of and to in is that it was for on are with as his they be at one have this from or had by hot but some what there we can out other "
    "were all your when up use word how said an each she which do their time if will way about many then them would write like so these her long "
    "make thing see him two has look more day could go come did my sound no most number who over know water than call first people may down side "
    "been now find any new work part take get place made live where after back little only round man year came show every good me give our under "
    "Learning Federated tokenizer HELLO World JavaScript UPPER lowercase mixedCase snake_case kebab-case don't we're I'll they've I'm he'd it's IT'S"
).split()
CODE = [
    "def f(x):\n    return x + 1\n", "for (let i = 0; i < 10; i++) {\n\tconsole.log(`${i}`);\n}", "#include <vector>\nint main() { return 0; }",
    "SELECT * FROM t WHERE a >= 1.5e-3;", "x[0x1F] ??= a?.b ?? !c;", "<div class=\"a\">&amp;</div>", "https://example.org/a?b=c&d=%20#e", "C:\\dir\\file.txt",
    "user@example.com", "{\"k\": [1, null, true]}", "a->b::c<T&&>", "//    comment   ", "    if x:\n\n\n        y = '\\n'\r\n", "$HOME/.bashrc && ls -la | wc",
]  # fmt: skip
SCRIPTS = [
    "Привет мир, это проверка", "Γειά σου Κόσμε ΐ", "مرحبا بالعالم، كيف حالك؟", "שלום עולם בְּרֵאשִׁית", "नमस्ते दुनिया क्षत्रिय", "বাংলা ভাষা", "ਪੰਜਾਬੀ", "ગુજરાતી", "தமிழ் மொழி",
    "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "සිංහල", "สวัสดีชาวโลก ภาษาไทย กำ", "ລາວ", "བོད་སྐད་", "မြန်မာ", "ქართული", "አማርኛ", "ᏣᎳᎩ", "ភាសាខ្មែរ", "ᠮᠣᠩᠭᠣᠯ",
    "你好，世界。中文測試", "こんにちは世界、カタカナーひらがな", "안녕하세요 세계", "ㄅㄆㄇ", "𠀀𠮷", "𝒜𝓫𝔠 𝟙𝟚𝟛", "𐐀𐐨", "Tiếng Việt có dấu", "Türkçe İıŞş", "Ærøskøbing Straße ẞ", "ﬁ ﬂ ﬀi ﬆ", "ＦＵＬＬ ｗｉｄｔｈ １２３ ｶﾞ",
    "ⅷ Ⅷ ½ ² ³ ⁴ ₁ ㊿ ㈱ ㌔", "٠١٢٣٤٥ ०१२३ 一二三 ๑๒๓", "Ω Å K µ", "ǅ ǈ ǰ ŉ", "→ ∑ ≠ ∞ √", "€ £ ¥ ₿ ¢", "«guillemets» “quotes” ‘single’ „low“ – — … • ·", "ªº ʰⁿ ːˑ",
]  # fmt: skip
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "❤️", "☺", "🏳️‍🌈", "1️⃣", "©®™", "🧑‍💻"]
MARKS = ["\u0301", "\u0308", "\u0323", "\u0327", "\u0345", "\u0334", "\u20dd", "\u0591", "\u064e", "\u093c", "\u0e31", "\u3099", "\u302a", "\u0338", "\u035c", "\u1ab0"]
CONTROLS = ["\0", "\x01", "\x07", "\x08", "\x0b", "\x0c", "\x0e", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x8f", "\x9f", "\xad", "\u200b", "\u200c", "\u200d",
            "\u200e", "\u200f", "\u202a", "\u2060", "\ufeff", "\ufffd", "\ufffc", "\ufff9", "\U000e0001", "\ue000", "\U0010fffd", "\u0378", "\ufffe", "\u061c"]  # fmt: skip
SPACES = [" ", "  ", "    ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u1680", "\u2000", "\u2003", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "▁", "▁▁"]
ADDED = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<0x41>", "<0xE2>",
         "added", "addedtoken", "ADDED", "\u00e9t\u00e9", "<extra_id_0>", "##ing", "</w>", "  ", "\n\n", "<think>", "ab", "wholeword"]  # fmt: skip


def prose(draw, count):
    out = []
    for _ in range(count):
        word = draw.choice(WORDS)
        roll = draw.random()
        if roll < 0.1:
            word = word.capitalize()
        if roll > 0.85:
            word += draw.choice([",", ".", "!", "?", ";", ":", "...", "'s", ")", '"'])
        if roll > 0.97:
            word += " " + str(draw.randrange(10 ** draw.randrange(1, 8)))
        out.append(word)
    return " ".join(out)


def one(draw, kind):
    if kind == 0:
        return prose(draw, draw.choice([1, 3, 10, 40]))
    if kind == 1:
        return draw.choice(["", " "]).join(draw.choices(CODE, k=draw.choice([1, 2, 3])))
    if kind == 2:
        text = draw.choice([" ", "", ", "]).join(draw.choices(SCRIPTS, k=draw.choice([1, 2, 3])))
        form = draw.choice([None, "NFC", "NFD", "NFKC", "NFKD"])
        return unicodedata.normalize(form, text) if form else text
    if kind == 3:
        return "".join(draw.choice(EMOJI + ["", " ", "a", "é"]) for _ in range(draw.choice([1, 4, 8])))
    if kind == 4:
        return "".join(draw.choice("aeou AEN가각कซかक्ﬁ½İǆ") + "".join(draw.choices(MARKS, k=draw.choice([0, 1, 2, 4]))) for _ in range(draw.choice([1, 3, 9])))
    if kind == 5:
        return "".join(draw.choice([draw.choice(CONTROLS), draw.choice(WORDS), draw.choice(SPACES)]) for _ in range(draw.choice([1, 3, 8])))
    if kind == 6:
        return "".join(draw.choice(SPACES) * draw.choice([1, 1, 2, 5]) + draw.choice([draw.choice(WORDS), "", "7", "!", "中"]) for _ in range(draw.choice([1, 3, 8])))
    if kind == 7:
        digits = "0123456789٣५३½Ⅷ²๓𝟙"
        return "".join(draw.choice(digits[:10] if draw.random() < 0.7 else digits) for _ in range(draw.choice([1, 2, 3, 4, 7, 20]))) + draw.choice(["", " kg", ",000.50", "x", " 1 22 333"])
    if kind == 8:
        return "".join(draw.choice([draw.choice(ADDED), draw.choice(ADDED), draw.choice(WORDS), draw.choice(SPACES), draw.choice(SCRIPTS)[:4]]) for _ in range(draw.choice([1, 3, 6])))
    if kind == 9:
        return draw.choice(["a", "ab", "=", " ", "\n", "é", "中", "!?", "😀", "\u0301", "ha", "-", "0"]) * draw.choice([1, 2, 15, 16, 17, 100, 300])
    if kind == 10:
        low, high = draw.choice([(0x20, 0x250), (0x250, 0x2000), (0x2000, 0x3100), (0x3100, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x110000)])
        return "".join(chr(draw.randrange(low, high)) + draw.choice(["", "", " ", "a"]) for _ in range(draw.choice([1, 5, 20])))
    return draw.choice(SPACES) * draw.choice([0, 1]) + one(draw, draw.randrange(11)) + one(draw, draw.randrange(11)) + draw.choice(SPACES) * draw.choice([0, 1])


def strings(count, seed):
    draw = random.Random(seed)
    fixed = ["", " ", "  ", "\n", "\t", "a", "é", "e\u0301", "中", "😀", "\0", "▁", "▁a", " ▁", "a▁b", "##", "\ufffd", "\u0301", "\r\n", "<s>", " <s> ", "<s></s>", "Hello, world!",
             "\r\n" + "\n" * 14 + "709٣,000.50"]  # ways through the spaces that cost the same but for rounding
    return (fixed + [one(draw, index % 12) for index in range(count)])[:count]


def corpus(seed):
    draw = random.Random(seed)
    return [one(draw, draw.choice([0, 0, 0, 0, 1, 2, 2, 7])) for _ in range(1500)]
