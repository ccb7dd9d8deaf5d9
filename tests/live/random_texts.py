"""Random texts that find differences between tokenizers: every plane, script and oddity of Unicode.

A text is made of a few fragments, each of one kind: a run of one script, letters with marks, emoji
sequences, controls, spaces and line ends, digits of many scripts, letters of unusual case, special
tokens and what looks like them, very long words, any code points at all.
"""

import random
import unicodedata
from collections.abc import Callable, Iterator

Fragment = Callable[[random.Random], str]

# First and last code points, weighted by how often a script is met and by how odd it is.
SCRIPTS = [
    (8, 0x20, 0x7E),  # ASCII
    (3, 0xA1, 0x17F),  # Latin-1 and Extended-A
    (1, 0x180, 0x2AF),
    (1, 0x2B0, 0x36F),  # modifiers, combining marks
    (2, 0x370, 0x3FF),  # Greek
    (2, 0x400, 0x52F),  # Cyrillic
    (1, 0x531, 0x58F),  # Armenian
    (1, 0x590, 0x5FF),  # Hebrew with points
    (2, 0x600, 0x6FF),  # Arabic
    (1, 0x700, 0x8FF),
    (2, 0x900, 0x97F),  # Devanagari
    (1, 0x980, 0xDFF),  # Bengali to Sinhala
    (2, 0xE01, 0xE5B),  # Thai
    (1, 0xE81, 0x109F),  # Lao, Tibetan, Myanmar
    (1, 0x10A0, 0x10FF),  # Georgian
    (1, 0x1100, 0x11FF),  # Hangul jamo
    (1, 0x1200, 0x139F),  # Ethiopic
    (1, 0x13A0, 0x13FF),  # Cherokee
    (1, 0x1680, 0x1AFF),
    (1, 0x1B00, 0x1DFF),
    (2, 0x1E00, 0x1FFF),  # Latin additional, Greek extended
    (3, 0x2000, 0x206F),  # punctuation, spaces, format characters
    (1, 0x2070, 0x218F),  # super- and subscripts, currencies, letterlike, numbers
    (1, 0x2190, 0x27BF),  # arrows to dingbats
    (1, 0x2800, 0x2FFF),
    (2, 0x3000, 0x30FF),  # Japanese
    (1, 0x3100, 0x4DBF),
    (3, 0x4E00, 0x9FFF),  # Han
    (1, 0xA000, 0xABFF),
    (2, 0xAC00, 0xD7A3),  # Hangul
    (1, 0xE000, 0xF8FF),  # private use
    (1, 0xF900, 0xFAFF),  # compatibility Han
    (1, 0xFB00, 0xFDFF),  # ligatures, presentation forms
    (2, 0xFE00, 0xFFFF),  # variation selectors, full width, specials, noncharacters
    (1, 0x10000, 0x12FFF),  # ancient scripts
    (1, 0x16800, 0x1BCFF),
    (1, 0x1D000, 0x1D7FF),  # music, mathematical letters and digits
    (1, 0x1E000, 0x1EFFF),
    (3, 0x1F000, 0x1FBFF),  # emoji
    (1, 0x20000, 0x323AF),  # Han of the upper planes
    (1, 0xE0000, 0xE01EF),  # tags, variation selectors
    (1, 0xF0000, 0x10FFFF),
]
SPACES = [
    *(" " * n for n in (1, 1, 1, 2, 3, 5, 9, 40)),
    *"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f",
    *"\u3000\u180e\u200b\u200c\u200d\u2060\ufeff\u2581",
    *("\r\n", "\r\n\r\n", "\n\r", "\n\n\n", " \n", "\n ", "\t \t", " \r\n ", "\u2581\u2581"),
]
MARKS = "".join(map(chr, (*range(0x300, 0x330), 0x345, 0x5B0, 0x64B, 0x670, 0x94D, 0x93C)))
MARKS += "\u0e33\u0e47\u0f71\u0f72\u1abf\u200d\u20dd\u20e3\u3099\u309a\ufe0f\ufe20\U0001d165"
BASES = "aAeEiIoOuUnNcCsSyz\u00e9\u0131\u01b7\u0391\u0415\u05d0\u0627\u0915\u0e01\u304b\u30cf1="
CASES = "\u0130\u0131iI\u01c4\u01c5\u01c6\u01f2\u1f88\u1ffc\u03a3\u03c3\u03c2\u1e9e\u00df\u017f"
CASES += (
    "\u212a\u212b\u0149\u01f0\u0390\u1e96\ufb00\ufb03\ufb05\u0587\u10d0\u1c90\u13a0\uab70\ua64a"
)
DIGITS = "09\u00b2\u00bd\u0660\u06f1\u07c2\u0966\u09e7\u0e52\u0f33\u1040\u17e0\u1810\u2070\u2160"
DIGITS += "\u2155\u2460\u2776\u3007\u3021\u3220\u4e09\u4e07\uff10\U00010107\U0001d7d8\U0001f100"
EMOJI = [
    *("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f3f4\u200d\u2620\ufe0f", "\u2764\ufe0f"),
    *("\U0001f1fa\U0001f1f8", "\U0001f1e9", "\U0001f44d\U0001f3fd", "1\ufe0f\u20e3", "#\u20e3"),
    *("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f", "\u263a\ufe0e", "\U0001f600", "\u00a9"),
    *("\U0001f9d1\U0001f3fe\u200d\U0001f680", "\U0001f441\ufe0f\u200d\U0001f5e8", "\U0001fae8"),
]
SPECIALS = [
    *("<|endoftext|>", "<|endofprompt|>", "<|im_start|>", "<|fim_prefix|>", "<|endoftext", "|>"),
    *("<s>", "</s>", "<unk>", "<pad>", "<mask>", "<cls>", "<sep>", "<extra_id_0>", "<0x0A>", "<0x"),
    *(
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[PAD]",
        "[UNK]",
        "[mask]",
        "[ MASK ]",
        "<S>",
        "< s>",
        "<s",
        "s>",
    ),
    *(
        "<eod>",
        "<eop>",
        "##a",
        "##",
        "</w>",
        "\u0120a",
        "\u2581a",
        "\u2581",
        "\ufffd",
        "<|\u200bend",
    ),
]
CONTRACTIONS = [
    "'s",
    "'S",
    "'ll",
    "'LL",
    "'Ll",
    "'re",
    "'t",
    "'\u017f",
    "\u2019s",
    "'",
    "''s",
    "'d1",
]
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "The",
    "THE",
    "hello",
    "world",
    "don't",
    "I'll",
    "we've",
    "token",
    "tokenizer",
    "ing",
    "tion",
    "international",
    "isation",
    "2024",
    "3.14",
    "1,000",
    "12345678",
    "foo_bar",
    "CamelCase",
    "getHTTPResponse",
    "x=y;",
    "for(int",
    "i=0;i<n;++i)",
    "{}",
    "//",
    "http://a.b/c?d=e&f#g",
    "user@mail.org",
    "naïve",
    "café",
    "Ångström",
    "straße",
    "Добрый",
    "день",
    "καλημέρα",
    "שלום",
    "مرحبا",
    "नमस्ते",
    "สวัสดี",
    "你好",
    "世界",
    "こんにちは",
    "カタカナ",
    "안녕",
    "Ｈｅｌｌｏ",
    "...",
    "---",
    "!!!",
    "?!",
    "'quoted'",
    '"double"',
    "(a)",
    "[b]",
]


def _point(rng: random.Random, first: int = 0, last: int = 0x10FFFF) -> str:
    point = rng.randint(first, last)
    return "\ufffd" if 0xD800 <= point < 0xE000 else chr(point)


def _script(rng: random.Random) -> str:
    _, first, last = rng.choices(SCRIPTS, _WEIGHTS)[0]
    if last - first > 400 and rng.random() < 0.5:  # neighbours share tokens and joining
        first = rng.randint(first, last - 60)
        last = first + 60
    return "".join([_point(rng, first, last) for _ in range(rng.randint(1, 8))])


def _word(rng: random.Random) -> str:
    word = rng.choice(WORDS)
    changes = (str.upper, str.lower, str.title, str.swapcase, lambda w: w[::-1])
    return rng.choice(changes)(word) if rng.random() < 0.2 else word


def _words(rng: random.Random) -> str:
    return rng.choice((" ", " ", " ", "", "\n", "\u3000", "-")).join(
        [_word(rng) for _ in range(rng.randint(1, 6))]
    )


def _marked(rng: random.Random) -> str:
    parts = []
    for _ in range(rng.randint(1, 4)):
        parts.append(rng.choice(BASES))
        parts.extend(rng.choices(MARKS, k=rng.choice((0, 1, 1, 2, 3, 6))))
    return "".join(parts)


def _normal_form(rng: random.Random) -> str:
    text = _words(rng) if rng.random() < 0.5 else _script(rng) + _marked(rng)
    return unicodedata.normalize(rng.choice(("NFC", "NFD", "NFKC", "NFKD")), text)


def _jamo(rng: random.Random) -> str:
    jamo = (_point(rng, 0x1100, 0x1112), _point(rng, 0x1161, 0x1175), _point(rng, 0x11A7, 0x11C2))
    return "".join(jamo[: rng.randint(1, 3)]) * rng.randint(1, 2)


def _controls(rng: random.Random) -> str:
    points = [rng.choice((rng.randrange(32), rng.randrange(127, 160), 0)) for _ in range(3)]
    return "".join(map(chr, points[: rng.randint(1, 3)]))


def _long_word(rng: random.Random) -> str:
    kind = rng.randrange(4)
    size = rng.choice((20, 99, 100, 101, 130, 300, 700))
    if kind == 0:
        return rng.choice("aZ0 -=\u4e2d\u0430\U0001f600\n\u0301") * size
    if kind == 1:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=size))
    if kind == 2:
        return "".join([_word(rng) for _ in range(size // 5)])
    return "".join(rng.choices("acgtACGT0123456789+/", k=size))


def _very_long_word(rng: random.Random) -> str:
    size = rng.randint(10_000, 30_000)
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice("aZ0 -\u4e2d\u0430\U0001f600\n\u0301\u2581") * size
    if kind == 1:
        return "".join(rng.choices("acgt", k=size))
    if kind == 2:
        return (_word(rng) + _marked(rng)) * (size // 30)
    return "".join([_point(rng, 0x20, 0x3000) for _ in range(size)])


def _some(items: str | list[str], least: int = 1, most: int = 3) -> Fragment:
    return lambda rng: "".join(rng.choices(items, k=rng.randint(least, most)))


_WEIGHTS = [weight for weight, _, _ in SCRIPTS]
KINDS: list[tuple[float, Fragment]] = [
    (8, _script),
    (8, _words),
    (6, _some(SPACES, 1, 2)),
    (3, _marked),
    (3, _normal_form),
    (2, _jamo),
    (3, _some(EMOJI)),
    (2, _controls),
    (2, _some(DIGITS, 1, 6)),
    (2, _some("0123456789", 1, 9)),
    (3, _some(CASES, 1, 4)),
    (3, _some(SPECIALS, 1, 2)),
    (3, _some(CONTRACTIONS, 1, 2)),
    (2, _some("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00bf\u00a7\u2014\u2026\u3001", 1, 4)),
    (2, lambda rng: _point(rng)),
    (0.4, _long_word),
    (0.02, _very_long_word),  # in one of about 900 texts
]
FIXED = ["", " ", "\n", "a", "  a", "a  ", "\u2581", "\x00", "\ufeff", "\u0301", "\U0010ffff"]


def random_texts(seed: int, count: int) -> Iterator[str]:
    """`count` texts; the same ones for the same seed."""
    rng = random.Random(seed)
    yield from FIXED[:count]
    fragments = [fragment for _, fragment in KINDS]
    weights = [weight for weight, _ in KINDS]
    for _ in range(count - len(FIXED)):
        chosen = rng.choices(fragments, weights, k=rng.choice((1, 1, 2, 2, 3, 4, 5, 8)))
        gap = rng.choice(("", "", " "))
        yield gap.join([fragment(rng) for fragment in chosen])


def random_ids(seed: int, count: int, known: list[int]) -> Iterator[list[int]]:
    """`count` lists of ids of a vocabulary, for decoding: any, the first ones, and neighbours, so
    that special tokens and single bytes are met often."""
    rng = random.Random(seed)
    for _ in range(count):
        first = rng.choice((0, 0, rng.randrange(len(known))))
        size = rng.choice((5, 50, 300, len(known)))
        yield rng.choices(known[first : first + size], k=rng.randint(0, 12))
