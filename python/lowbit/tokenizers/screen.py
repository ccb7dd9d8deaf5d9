"""What of a text may reach a screen, and the colours of terminals.

Characters that cannot be printed are shown by their codes, so that no text can move the cursor,
change colours or turn the direction of writing.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from typing import TextIO

RESET, FAINT, NOT_FAINT = "\x1b[0m", "\x1b[2m", "\x1b[22m"


@dataclass(frozen=True)
class Marks:
    """What stands for white space."""

    space: str = "\u00b7"
    newline: str = "\u23ce"
    tab: str = "\u2192"


ASCII_MARKS = Marks("_", "\\n", "\\t")


def marks_of(stream: TextIO) -> Marks:
    """Marks that the encoding of a stream has."""
    marks = Marks()
    try:
        "".join(vars(marks).values()).encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ASCII_MARKS
    return marks


def printable(part: str | bytes, marks: Marks) -> list[tuple[str, bool]]:
    """A text, or bytes that are no character, as strings for a screen.

    Returns
    -------
    list of (str, bool)
        True for what stands for something that cannot be seen. A line break is behind its mark.

    Examples
    --------
    >>> printable("a b\\x1b", Marks("_", "/", ">"))
    [('a', False), ('_', True), ('b', False), ('\\\\x1b', True)]
    >>> printable(b"\\xe6\\x88", Marks())
    [('\\\\xe6\\\\x88', True)]
    """
    if isinstance(part, bytes):
        return [("".join(f"\\x{byte:02x}" for byte in part), True)]
    if part.isprintable() and " " not in part and not unicodedata.combining(part[:1] or "a"):
        return [(part, False)] if part else []
    out: list[tuple[str, bool]] = []
    white = {" ": marks.space, "\n": marks.newline + "\n", "\t": marks.tab}
    for i, character in enumerate(part):
        if character in white:
            shown, stands = white[character], True
        elif not character.isprintable():
            shown, stands = ascii(character)[1:-1], True
        else:
            # An accent alone would sit on the end of the token before.
            alone = i == 0 and unicodedata.combining(character)
            shown, stands = ("\u25cc" if alone else "") + character, False
        if out and out[-1][1] == stands:
            shown = out.pop()[0] + shown
        out.append((shown, stands))
    return out


@dataclass(frozen=True)
class Palette:
    """Colours as the numbers of SGR sequences (ECMA-48)."""

    tokens: tuple[str, ...]
    special: str
    unknown: str


def _pastels(background: str, values: tuple[str, ...], black: str) -> tuple[str, ...]:
    return tuple(f"{black};{background};{value}" for value in values)


PALETTES = {
    16: Palette(("30;46", "30;43", "30;45", "30;42"), "1;97;100", "1;97;41"),
    256: Palette(
        _pastels("48;5", ("152", "223", "183", "150"), "38;5;16"),
        "1;38;5;231;48;5;240",
        "1;38;5;231;48;5;160",
    ),
    1 << 24: Palette(
        _pastels(
            "48;2",
            ("168;218;220", "255;217;160", "212;190;240", "190;225;165"),
            "38;2;20;20;20",
        ),
        "1;38;2;255;255;255;48;2;90;90;90",
        "1;38;2;255;255;255;48;2;200;40;40",
    ),
}
"""Backgrounds bring their own foreground, so they can be read on light and dark terminals."""


def color_count(stream: TextIO, wanted: str = "auto") -> int:
    """How many colours to use: 0, 16, 256 or 2^24.

    Parameters
    ----------
    stream
        Where the text goes.
    wanted
        "auto": what the terminal has, none elsewhere and where NO_COLOR is set; "always", "never".

    Examples
    --------
    >>> import io
    >>> color_count(io.StringIO())
    0
    """
    terminal = os.environ.get("TERM", "")
    shown = stream.isatty() and terminal != "dumb" and not os.environ.get("NO_COLOR")
    if wanted == "never" or (wanted == "auto" and not shown):
        return 0
    named = os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    if named or terminal.endswith("-direct") or "WT_SESSION" in os.environ:
        return 1 << 24
    return 256 if "256color" in terminal else 16
