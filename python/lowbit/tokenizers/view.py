"""Tokens to look at: a text in coloured pieces, for notebooks, terminals and plain output."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.tokenizers.base import TokenizerBase
from lowbit.tokenizers.encoding import Encoding
from lowbit.tokenizers.pieces import Names, Piece, text_pieces
from lowbit.tokenizers.screen import (
    FAINT,
    NOT_FAINT,
    PALETTES,
    RESET,
    Marks,
    color_count,
    marks_of,
    printable,
)

SHOWN = 2000  # tokens; nobody looks at more of them on one page
# Red, green, blue over what is behind, so that they suit light and dark pages.
BACKGROUNDS = ("38,166,154", "255,152,0", "126,87,194", "124,179,66")
SPECIAL, UNKNOWN = "128,128,128", "229,57,53"


@dataclass(frozen=True)
class Counts:
    """How long a text is in tokens and in everything else.

    Examples
    --------
    >>> print(Counts.of("low bit", tokens=2, unknown=0))
    2 tokens, 7 bytes, 7 characters, 1.00 tokens per word, 3.50 bytes per token, 0 unknown
    """

    tokens: int = 0
    bytes: int = 0
    characters: int = 0
    words: int = 0
    unknown: int = 0

    @classmethod
    def of(cls, text: str, tokens: int, unknown: int) -> Counts:
        """Of one text; words are what ASCII spaces and controls separate."""
        # str.split() would take longer than the tokenizer.
        data = np.frombuffer(text.encode("utf-8"), np.uint8)
        space = np.concatenate([[True], data <= ord(" ")])
        words = int(np.count_nonzero(space[:-1] & ~space[1:]))
        return cls(tokens, len(data), len(text), words, unknown)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    @property
    def tokens_per_word(self) -> float | None:
        """None without words."""
        return self.tokens / self.words if self.words else None

    @property
    def bytes_per_token(self) -> float | None:
        """None without tokens."""
        return self.bytes / self.tokens if self.tokens else None

    def summary(self) -> dict[str, int | float | None]:
        """All of it by name."""
        rates = {
            "tokens_per_word": self.tokens_per_word,
            "bytes_per_token": self.bytes_per_token,
        }
        return vars(self) | rates

    def __str__(self) -> str:
        parts = [_counted(self.tokens, "token"), _counted(self.bytes, "byte")]
        parts.append(_counted(self.characters, "character"))
        if self.tokens_per_word is not None:
            parts.append(f"{self.tokens_per_word:.2f} tokens per word")
        if self.bytes_per_token is not None:
            parts.append(f"{self.bytes_per_token:.2f} bytes per token")
        return ", ".join([*parts, f"{self.unknown:,} unknown"])


class TokenView:
    """A text and its tokens: in colour in notebooks and terminals, with bars elsewhere.

    Spaces in tokens are dots, line breaks and tabs have marks, bytes that are no whole character
    are in hexadecimal, other characters that cannot be printed are shown by their codes. Text that
    is in no token is between tokens as it is.

    Examples
    --------
    >>> from lowbit import Tokenizer
    >>> Tokenizer.train(["low bit"], model="character").show("low bit")
    l|o|w|\u00b7|b|i|t
    """

    def __init__(self, pieces: Sequence[Piece], counts: Counts | None = None) -> None:
        self.pieces = pieces
        self.counts = counts

    def __repr__(self) -> str:
        colors = color_count(sys.stdout)
        text = terminal_text(self.pieces[:SHOWN], colors, marks_of(sys.stdout))
        return text + (f"\n{self._rest()}" if self._rest() else "")

    def _repr_html_(self) -> str:
        last = [str(self.counts)] if self.counts else []
        below = "; ".join(([self._rest()] if self._rest() else []) + last)
        return html_text(self.pieces[:SHOWN]) + (
            f'<div style="opacity:.7;font-size:smaller">{html.escape(below)}</div>' if below else ""
        )

    def _rest(self) -> str:
        left = sum(piece.kind != "gap" for piece in self.pieces[SHOWN:])
        return f"... {_counted(left, 'more token')}" if left else ""


def view(tokenizer: TokenizerBase, encoding: Encoding, text: str) -> TokenView:
    """The view of one text."""
    names = Names.of(tokenizer.spec)
    unknown = int((encoding.ids == names.unknown).sum())
    counts = Counts.of(text, len(encoding), unknown)
    return TokenView(text_pieces(encoding, text, names), counts)


def terminal_text(
    pieces: Iterable[Piece], colors: int, marks: Marks, first: int = 0, begun: bool = False
) -> str:
    """Pieces for a terminal of so many colours; with 0, tokens have bars between them.

    Parameters
    ----------
    first
        Number of the first token, so that colours go on where others ended.
    begun
        There is a token before on the same line.
    """
    out: list[str] = []
    behind_token = begun
    for piece in pieces:
        if piece.kind == "gap":
            out.append("".join(s for p in piece.parts for s in _raw(p)))
            behind_token = False
            continue
        shown = [s for part in piece.parts for s in printable(part, marks)]
        if colors:
            out.append(_painted(shown, _style(piece.kind, first, colors)))
        else:
            out.append("|" * behind_token + "".join(text for text, _ in shown))
        behind_token = not out[-1].endswith("\n")
        first += 1
    return "".join(out)


def _raw(part: str | bytes) -> Iterator[str]:
    """Text between tokens: its spaces and line breaks are themselves."""
    for text, _ in printable(part, Marks(" ", "", "\t")):
        yield text


def _style(kind: str, number: int, colors: int) -> str:
    palette = PALETTES[colors]
    if kind == "token":
        return palette.tokens[number % len(palette.tokens)]
    return palette.special if kind == "special" else palette.unknown


def _painted(shown: list[tuple[str, bool]], style: str) -> str:
    """One token; a colour that is on at a line break would fill the line."""
    lines = [""]
    for text, faint in shown:
        first, *others = [f"{FAINT}{t}{NOT_FAINT}" if faint and t else t for t in text.split("\n")]
        lines[-1] += first
        lines += others
    return "\n".join(f"\x1b[{style}m{line}{RESET}" if line else "" for line in lines)


def html_text(pieces: Iterable[Piece]) -> str:
    """Pieces for a notebook; nothing of the text is markup."""
    spans = []
    number = 0
    for piece in pieces:
        if piece.kind == "gap":
            spans.append(html.escape("".join(s for part in piece.parts for s in _raw(part))))
            continue
        rgb = {"special": SPECIAL, "unknown": UNKNOWN}.get(
            piece.kind, BACKGROUNDS[number % len(BACKGROUNDS)]
        )
        number += 1
        title = f"id {piece.id}"
        if piece.kind == "unknown":
            title += ", unknown"
        if piece.end > piece.begin:
            title += f", characters {piece.begin} to {piece.end}"
        shown = [s for part in piece.parts for s in printable(part, Marks())]
        inner = "".join(
            f'<span style="opacity:.55">{html.escape(text)}</span>' if faint else html.escape(text)
            for text, faint in shown
        )
        spans.append(
            f'<span title="{title}" style="background:rgba({rgb},.35);border-radius:3px">'
            f"{inner}</span>"
        )
    return (
        '<div style="font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;'
        f'line-height:1.6">{"".join(spans)}</div>'
    )


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" + ("" if count == 1 else "s")
