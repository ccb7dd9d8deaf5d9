"""GPT-2's alphabet, in which byte-level vocabularies are written (Radford et al., 2019)."""


def _alphabet() -> list[str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x144))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


ALPHABET = _alphabet()
"""The character of every byte: its own where that can be printed."""

_LETTERS = dict(enumerate(ALPHABET))


def byte_level_text(token: bytes) -> str:
    """Bytes as a text in the alphabet.

    Examples
    --------
    >>> byte_level_text(b" a\\n")
    '\u0120a\u010a'
    """
    return token.decode("latin-1").translate(_LETTERS)
