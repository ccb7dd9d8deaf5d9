"""Known split patterns, whose scanners read masks of 64 bytes, against the engine of expressions.

The engine knows neither masks nor shortcuts: it gets the same expression in brackets, which no list
of known ones has.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lowbit.tokenizers.patterns import PATTERNS
from split_words import word_splitter

TEKKEN = PATTERNS["o200k"].replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", "")
QWEN3_5 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
EXPRESSIONS = {**PATTERNS, "tekken": TEKKEN, "qwen3.5": QWEN3_5}
# Of every class that some expression tells apart, in one to four bytes of UTF-8.
ASCII = [*"abcXYZ019 \t\n\r'/.,-_()", "  ", "\n\n", "'s", "'LL", "'re", "d'", "\x0b", "\x7f"]
WIDE = [
    *("\u00e9", "\u00c9", "\u0436", "\u0416", "\u4e2d", "\u3042", "\u0e01", "\u0915", "\uac00"),
    *("\u0301", "\u093e", "\u00a0", "\u3000", "\u2028", "\u0085", "\u00b2", "\u0663", "\u2160"),
    *("\u017f", "'\u017f", "\u212a", "\u01c5", "\u02b0", "\u00ab", "\u20ac", "\u3002", "\u3007"),
    *("\U0001f600", "\U00020000", "\U0001d400", "\U0001d7d8", "\U000e0100", "\u0000"),
]


Split = Callable[[str], list[str]]


@pytest.fixture(params=sorted(EXPRESSIONS))
def both(request: pytest.FixtureRequest) -> tuple[Split, Split]:
    """The known pattern and the engine."""
    expression = EXPRESSIONS[request.param]
    # To the engine, as to Oniguruma, {1,3}+ is a repeat of repeats; tiktoken's never gives back.
    general = f"(?:{expression.replace('{1,3}+', '{1,3}')})"
    return word_splitter(expression).split, word_splitter(general).split


@pytest.mark.parametrize("wide", [0, 0.1, 0.9])
def test_random_texts(both: tuple[Split, Split], isa: str, wide: float) -> None:
    known, engine = both
    rng = np.random.default_rng(5)
    for _ in range(150):
        atoms = [WIDE if high else ASCII for high in rng.random(rng.integers(1, 400)) < wide]
        # Few kinds at a time make long runs.
        kinds = rng.integers(2, 40)
        text = "".join(atom[rng.integers(kinds) % len(atom)] for atom in atoms)
        assert known(text) == engine(text), repr(text)


SHAPES = [
    "'s", "'ll and", " 'Re", "x'\u017fy", "12345 6789", "  \n  word", " \n\n \t\n", "\r\n\r\n  z",
    "!!\n\n/\n a", "\u4e2d\u6587 \u4e2d", "\u0416\u0436\u0416", "  ", " \u3000 a",
    "\U0001f600\U0001f600!", "\u0301a\u0301", "aB\u0416c\u02b0D", "e\u0301\u00b2x", "\n   ",
    "...\u00a0x", "\u0915\u093e 9\u0663",
]  # fmt: skip


@pytest.mark.parametrize("filler", ["a", " ", "\n", "7", ".", "\u0436", "\u4e2d"])
def test_every_place_in_a_block(both: tuple[Split, Split], isa: str, filler: str) -> None:
    """Shapes that begin and end at every byte of a block, behind runs that cross it."""
    known, engine = both
    for shape in SHAPES:
        for before in range(56, 136 // len(filler.encode())):
            text = filler * before + shape + " tail" * 30
            assert known(text) == engine(text), repr(text)


def test_runs_of_a_megabyte_take_time_that_grows_with_them(isa: str) -> None:
    """A quadratic scanner would take minutes."""
    known = word_splitter(PATTERNS["cl100k"]).split
    size = 1_000_000
    assert [len(word) for word in known(" " * size)] == [size]
    assert [len(word) for word in known("a" * size + "\n")] == [size, 1]
    assert [len(word) for word in known("\n  " * (size // 3) + "a")] == [size - 3, 1, 2]
    assert len(known("'s" * (size // 2))) == size // 2
