"""Text from tokens that come one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowbit.tokenizers.tokenizer import Tokenizer


class DecodeStream:
    """The text of tokens as they come, a character as soon as all of its bytes are there.

    A step looks at the tokens since the last two pieces of text only, so its cost does not grow
    with the text. What all steps and `finish` return, joined, is the text of all tokens. Decoders
    that change a token by what follows it (BPEDecoder, CTC) leave everything to `finish`.

    Examples
    --------
    >>> from lowbit import Tokenizer
    >>> tok = Tokenizer.train(["caf\u00e9"], model="bpe", vocab_size=257)
    >>> stream = tok.decode_stream()
    >>> [stream.step(id) for id in tok.encode("f\u00e9!").ids], stream.finish()
    (['f', '', '\u00e9', '!'], '')
    """

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._waits = any(s.type in ("BPEDecoder", "CTC") for s in tokenizer.spec.decoders)
        self._ids: list[int] = []
        self._told = 0  # ids whose text was returned
        self._prefix = ""  # their text

    def step(self, id: int) -> str:
        """The text that one more token completes; empty where a character lacks bytes."""
        self._ids.append(int(id))
        if self._waits:
            return ""
        text = self._decode()
        if text.endswith("\ufffd") or len(text) <= len(self._prefix):
            return ""
        return self._tell(text)

    def finish(self) -> str:
        """The text that is left; bytes that are no character become U+FFFD."""
        return self._tell(self._decode())

    def _decode(self) -> str:
        return self._tokenizer.decode(self._ids, self._skip)

    def _tell(self, text: str) -> str:
        new = text[len(self._prefix) :]
        rest = self._tokenizer.decode(self._ids[self._told :], self._skip)
        if rest:  # or the next one would be taken for the first token of a text
            del self._ids[: self._told]
        self._prefix = rest or text
        self._told = len(self._ids)
        return new
