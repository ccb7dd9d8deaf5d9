"""UTF-8 from a file or standard input, some at a time, cut where it does not matter to tokens."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext

from lowbit.errors import FileFormatError
from lowbit.files.text_files import split_lines
from lowbit.files.untrusted import open_regular
from lowbit.tokenizers.patterns import PATTERNS
from lowbit.tokenizers.spec import Step, TokenizerSpec

AT_ONCE = 1 << 22  # bytes
PIECE = 1 << 16  # characters: enough for a thread
STANDARD_INPUT = "standard input"

# In front of a word at the start of a line, where the line before ends in a character that no
# normalizer drops or turns into white space.
_LINE_START = re.compile(r"(?<=[^\W_\u037a]\n|[!-~\u3002\uff01\uff1f]\n)(?=[^\W_])")


def input_name(path: str) -> str:
    """As messages call it."""
    return STANDARD_INPUT if path == "-" else path


def read_text(path: str, progress: Callable[[int, int], None]) -> Iterator[str]:
    """The text of a file, or of standard input for "-", some megabytes at a time.

    Parameters
    ----------
    path
        Of a UTF-8 file. Line breaks and a byte order mark are left as they are.
    progress
        Called with the bytes read so far and those of the file, if these are known.

    Raises
    ------
    OSError
        The file cannot be read.
    FileFormatError
        It is empty or not UTF-8; names the byte.
    """
    name = input_name(path)
    decoder = codecs.getincrementaldecoder("utf-8")()
    with nullcontext(sys.stdin.buffer) if path == "-" else open_regular(path) as stream:
        total = 0 if path == "-" else os.fstat(stream.fileno()).st_size
        done = 0
        while True:
            data = stream.read(AT_ONCE)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                place = done - pending + error.start
                raise FileFormatError(f"{name}: not UTF-8 at byte {place}") from None
            if not data:
                break
            done += len(data)
            if total:
                progress(min(done, total), total)
            yield text
    if done == 0:
        raise FileFormatError(f"{name}: empty")


def read_lines(chunks: Iterable[str]) -> Iterator[list[str]]:
    """Lines without their ends, some at a time.

    Examples
    --------
    >>> list(read_lines(["a\\r\\nb", "c\\n", "d"]))
    [['a'], ['bc'], ['d']]
    """
    held: list[str] = []
    for chunk in chunks:
        head, newline, tail = chunk.rpartition("\n")
        if newline:
            yield split_lines("".join([*held, head, newline]))
            held = []
        held.append(tail)
    if last := "".join(held):
        yield split_lines(last)


def split_pieces(chunks: Iterable[str], spec: TokenizerSpec) -> Iterator[list[str]]:
    """A text in pieces whose tokens are together those of the text, some pieces at a time.

    Texts of tokenizers that may join what is on both sides of a line break come as one piece.
    """
    cut = _joins_no_lines(spec)
    held: list[str] = []
    length = 0
    for chunk in chunks:
        pieces = []
        begin = 0
        while cut and (match := _LINE_START.search(chunk, begin + max(0, PIECE - length))):
            pieces.append("".join([*held, chunk[begin : match.start()]]))
            held, length, begin = [], 0, match.start()
        held.append(chunk[begin:])
        length += len(chunk) - begin
        if pieces:
            yield pieces
    yield ["".join(held)]


# Steps that cut at all white space or within words, and normalizers that leave it white space.
_AT_SPACES = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_WITHIN_WORDS = {"Punctuation", "Digits"}
_KEEPING_LINES = {"NFC", "NFD", "Lowercase"}
_KEEPING_SPACES = _KEEPING_LINES | {"BertNormalizer", "NFKC", "NFKD", "StripAccents"}


def _joins_no_lines(spec: TokenizerSpec) -> bool:
    """Whether no token is on both sides of a `_LINE_START`, and none depends on the other side.

    The known patterns see a line break behind a visible character in front of a word: whatever
    takes the break stops there, and looks ahead only from white space in front of the break.
    """
    normalizers = {step.type for step in spec.normalizers}
    steps = [step for step in spec.pre_tokenizers if step.type not in _WITHIN_WORDS]
    if not steps:
        return False
    if all(step.type in _AT_SPACES for step in steps):
        local = normalizers <= _KEEPING_SPACES
    else:
        patterns = [_has_known_pattern(step) for step in steps]
        local = normalizers <= _KEEPING_LINES and None not in patterns and any(patterns)
    # Added tokens may take the white space before them, or hold some before a word.
    return local and not any(
        (token.lstrip and re.match(r"\w", token.content)) or re.search(r"\s\w", token.content)
        for token in spec.added
    )


def _has_known_pattern(step: Step) -> bool | None:
    """None for a step that may join lines."""
    options = step.options
    if step.type == "ByteLevel":
        return None if options["add_prefix_space"] else bool(options["use_regex"])
    known = (
        step.type == "Split"
        and options["pattern"].get("Regex") in PATTERNS.values()
        # The known patterns match everything, so keeping what they match is the same.
        and (options["behavior"], options["invert"]) in (("Isolated", False), ("Removed", True))
    )
    return True if known else None
