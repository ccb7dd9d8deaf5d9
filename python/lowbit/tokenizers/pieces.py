"""A text cut where its tokens are, and what each token stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from lowbit.tokenizers.alphabet import ALPHABET
from lowbit.tokenizers.encoding import Encoding
from lowbit.tokenizers.spec import TokenizerSpec, Unigram
from lowbit.tokenizers.steps import META

BYTES = {character: byte for byte, character in enumerate(ALPHABET)}
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Piece:
    """A token as it is shown, or text that is in no token.

    Attributes
    ----------
    kind
        "token"; "special", from a template or written in the text; "unknown", for what cannot be
        spelled; "gap", text in no token.
    parts
        What it covers: texts, and bytes that are no whole character.
    id
        -1 for a gap.
    begin, end
        Characters of the text; 0 and 0 for those of a template.
    """

    kind: str
    parts: tuple[str | bytes, ...]
    id: int = -1
    begin: int = 0
    end: int = 0


@dataclass(frozen=True)
class Names:
    """Ids of the tokens that are no ordinary ones; -1 where there is no unknown token."""

    unknown: int
    special: frozenset[int]

    @classmethod
    def of(cls, spec: TokenizerSpec) -> Names:
        """Those of a tokenizer."""
        model = spec.model
        id = model.unknown_id if isinstance(model, Unigram) else None
        if id is None:
            id = -1 if model.unknown is None else model.vocabulary[model.unknown]
        return cls(id, frozenset(token.id for token in spec.added if token.special))

    def kind(self, id: int) -> str:
        """As in `Piece`."""
        if id == self.unknown:
            return "unknown"
        return "special" if id in self.special else "token"


def token_pieces(encoding: Encoding) -> list[Piece]:
    """The tokens of an encoding as the vocabulary writes them: it does not know its text."""
    return [
        Piece("special" if word is None else "token", (token,), id, begin, end)
        for token, word, id, (begin, end) in zip(
            encoding.tokens,
            encoding.word_ids,
            encoding.ids.tolist(),
            encoding.offsets.tolist(),
            strict=True,
        )
    ]


def text_pieces(encoding: Encoding, text: str, names: Names) -> list[Piece]:
    """A text cut where its tokens are.

    Parameters
    ----------
    encoding
        Of `text` alone, with places in characters.
    names
        Which tokens are no ordinary ones.

    Examples
    --------
    >>> from lowbit import Tokenizer
    >>> tok = Tokenizer.train(["low bit"], model="word")
    >>> names = Names.of(tok.spec)
    >>> [(p.kind, *p.parts) for p in text_pieces(tok.encode("low, bit"), "low, bit", names)]
    [('token', 'low'), ('unknown', ','), ('gap', ' '), ('token', 'bit')]
    """
    written = token_pieces(encoding)
    out: list[Piece] = []
    at = 0
    for first, stop in _runs(written):
        run = written[first:stop]
        if run[0].kind == "special":  # of the template
            out += run
            continue
        begin, end = run[0].begin, max(piece.end for piece in run)
        out += _gap(text, at, begin)
        covered = _covered(encoding.tokens[first:stop], text[begin:end])
        for piece, parts in zip(run, covered, strict=True):
            out.append(replace(piece, kind=names.kind(piece.id), parts=parts))
        at = max(at, end)
    return out + _gap(text, at, len(text))


def _runs(written: list[Piece]) -> Iterator[tuple[int, int]]:
    """First and last plus one of tokens that share characters."""
    first, end = 0, 0
    for i, (left, right) in enumerate(pairwise(written)):
        end = max(end, left.end)
        apart = left.kind == "special" or right.kind == "special" or right.begin >= end
        if apart:
            yield first, i + 1
            first, end = i + 1, 0
    if written:
        yield first, len(written)


def _gap(text: str, begin: int, end: int) -> list[Piece]:
    return [Piece("gap", (text[begin:end],), -1, begin, end)] if end > begin else []


def _covered(tokens: list[str], text: str) -> list[tuple[str | bytes, ...]]:
    """What each of some tokens covers of the text they share."""
    if len(tokens) == 1:
        return [(text or tokens[0].replace(META, " "),)]
    raw = [_bytes(token) for token in tokens]
    if all(data is not None for data in raw):
        joined = b"".join(data or b"" for data in raw)
        # More before the text is a space that the tokenizer put there.
        before = len(joined) - len(text.encode("utf-8"))
        if joined.endswith(text.encode("utf-8")) and before <= len(raw[0] or b""):
            return [_decoded((data or b"")[before * (i == 0) :]) for i, data in enumerate(raw)]
    if tokens[0] == META and len(tokens) == 2:
        return [(" ",), (text.lstrip(" "),)]
    # Several tokens of one character that a normalizer took apart.
    return [(token.replace(META, " "),) for token in tokens]


def _bytes(token: str) -> bytes | None:
    """The bytes of a token, if it may be written in bytes."""
    if match := BYTE_TOKEN.fullmatch(token):
        return bytes([int(match[1], 16)])
    if all(character in BYTES for character in token):
        return bytes(BYTES[character] for character in token)
    return token.replace(META, " ").encode("utf-8") if META in token else None


def token_parts(spec: TokenizerSpec, token: str) -> tuple[str | bytes, ...]:
    """What a token of a vocabulary stands for, as in `Piece`.

    Examples
    --------
    >>> from lowbit import Tokenizer
    >>> token_parts(Tokenizer.train(["\u00e9"], "bpe", 260).spec, "\u0120\u00c3")
    (' ', b'\xc3')
    """
    data = _bytes(token) if any(step.type == "ByteLevel" for step in spec.decoders) else None
    return (token.replace(META, " "),) if data is None else _decoded(data)


def _decoded(data: bytes) -> tuple[str | bytes, ...]:
    """Text and bytes that are no character, in turn.

    Examples
    --------
    >>> _decoded(b" \\xe6\\x88")
    (' ', b'\\xe6\\x88')
    """
    out: list[str | bytes] = []
    while data:
        try:
            return (*out, data.decode("utf-8"))
        except UnicodeDecodeError as error:
            if error.start:
                out.append(data[: error.start].decode("utf-8"))
            bad = data[error.start : error.end]
            if out and isinstance(out[-1], bytes):
                bad = out.pop() + bad
            out.append(bad)
            data = data[error.end :]
    return tuple(out)
