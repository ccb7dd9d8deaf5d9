"""What every tokenizer has: its parts, its vocabulary, the way back from ids to text."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from lowbit import _core
from lowbit.tokenizers.assembly import around_text
from lowbit.tokenizers.plan import decoder_arguments, kernel_arguments
from lowbit.tokenizers.spec import MAX_ID, Bpe, Slot, TokenizerSpec
from lowbit.tokenizers.special_policy import specials_read
from lowbit.tokenizers.streaming import DecodeStream


class TokenizerBase:
    """A tokenizer without its encoding; use `Tokenizer`."""

    def __init__(self, spec: TokenizerSpec) -> None:
        self._spec = spec
        self._kernel = _core.Tokenizer(**kernel_arguments(spec))

    def _with_spec(self, spec: TokenizerSpec) -> Self:
        """One with other added tokens; the model is shared unless its steps change."""
        ours, theirs = kernel_arguments(self._spec), kernel_arguments(spec)
        if any(ours[name] != theirs[name] for name in ("normalizers", "pre_tokenizers", "cut")):
            return type(self)(spec)
        made = type(self).__new__(type(self))
        made._spec = spec
        made._kernel = self._kernel.with_added(theirs["added"])
        return made

    def _template(self, pair: bool, add_special_tokens: bool) -> tuple[Slot, ...]:
        template = self._spec.pair if pair else self._spec.single
        if add_special_tokens:
            return template
        return tuple(slot for slot in template if slot.text)

    @cached_property
    def _frames(self) -> tuple[tuple[Any, ...], ...]:
        """Ids before and behind a text, None for none, and whether special tokens are read in it:
        without special tokens, and with them."""
        frames = []
        for added in (False, True):
            around = around_text(self._template(False, added))
            ids = (np.array(some, np.int32) if some else None for some in around)
            frames.append((*ids, specials_read(self._spec, None, added)))
        return tuple(frames)

    @cached_property
    def _dropout(self) -> float:
        """Of the file; 0 for models that have none."""
        return self._spec.model.dropout if isinstance(self._spec.model, Bpe) else 0.0

    @cached_property
    def _tokens(self) -> dict[int, str]:
        return self._spec.tokens_by_id() | self._normalized

    @cached_property
    def _added_ids(self) -> dict[str, int]:
        return {token.content: token.id for token in self._spec.added}

    @cached_property
    def _numbers_of_added(self) -> frozenset[int]:
        return frozenset(self._added_ids.values())

    @cached_property
    def _normalized(self) -> dict[int, str]:
        """Texts of the added tokens that are looked for in normalized texts: normalized too, as in
        the tokenizers library. Those of sentencepiece stand for themselves."""
        if any(step.type == "SentencePiece" for step in self._spec.normalizers):
            return {}
        found = {t.id: self._kernel.normalize(t.content) for t in self._spec.added if t.normalized}
        return {id: text for id, text in found.items() if text}

    @cached_property
    def _decoder(self) -> Any:
        described = decoder_arguments(self._spec)
        if self._normalized:
            ids, tokens = described["ids"], described["tokens"]
            changed = zip(ids, tokens, strict=True)
            described["tokens"] = [self._normalized.get(id, token) for id, token in changed]
        return _core.Decoder(**described)

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        """The text of some ids.

        Raises
        ------
        IndexError
            If an id is no token.
        """
        flat = np.asarray(ids).reshape(-1)
        if flat.size and flat.dtype.kind not in "iu":
            raise TypeError(f"Tokenizer.decode: ids have dtype {flat.dtype}; pass integers")
        if flat.size and not 0 <= flat.min() <= flat.max() <= MAX_ID:
            raise IndexError("Tokenizer.decode: an id is no token; ids go from 0 to 2^31-1")
        return self._decoder.decode(np.ascontiguousarray(flat, np.int32), skip_special_tokens)

    def decode_batch(self, batch: Any, skip_special_tokens: bool = False) -> list[str]:
        """The texts of several lists of ids, or of a `Batch`."""
        return [self.decode(batch[i], skip_special_tokens) for i in range(len(batch))]

    def decode_stream(self, skip_special_tokens: bool = False) -> DecodeStream:
        """A decoder of tokens that come one at a time."""
        return DecodeStream(self, skip_special_tokens)

    def token_to_id(self, token: str) -> int | None:
        """Id of a token, or None; of an added token before one of the vocabulary."""
        if token in self._added_ids:
            return self._added_ids[token]
        id = self._spec.table.find(token)
        return None if id in self._numbers_of_added else id

    def id_to_token(self, id: int) -> str | None:
        """Token of an id, or None."""
        return self._tokens.get(int(id))

    @property
    def vocab_size(self) -> int:
        """Number of tokens, the added ones included."""
        return len(self._tokens)

    @property
    def pad_id(self) -> int:
        """Id that fills up shorter texts; 0 where the tokenizer has no padding token."""
        if self._spec.padding is not None:
            return self._spec.padding.pad_id
        return self.token_to_id(self._spec.pad_token or "[PAD]") or 0

    @property
    def spec(self) -> TokenizerSpec:
        """Everything that defines this tokenizer."""
        return self._spec

    def __copy__(self) -> Self:
        return self  # nothing can change it

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._spec,)

    def __repr__(self) -> str:
        return (
            f"Tokenizer({type(self._spec.model).__name__}, {self.vocab_size} tokens, "
            f"{len(self._spec.added)} added)"
        )
