"""The tokenizer people use: built from files or a corpus, immutable, safe in any thread."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.tokenizers import training
from lowbit.tokenizers.decoding import decode_tokens
from lowbit.tokenizers.encoding import Batch, Encoding
from lowbit.tokenizers.spec import Slot, TokenizerSpec

NO_LIMIT = (1 << 62) - 1


class Tokenizer:
    """Text to ids and back; make one with `from_file` or `train`.

    Encoding never cuts or pads unless it is asked to: pass `max_length`, or use `Batch.pad`.

    Examples
    --------
    >>> tok = Tokenizer.train(["low bit", "low rank"], model="word")
    >>> tok.encode("Low bit model").tokens
    ['low', 'bit', '[UNK]']
    >>> tok.decode(tok.encode("low rank").ids)
    'low rank'
    """

    def __init__(self, spec: TokenizerSpec) -> None:
        self._spec = spec
        self._tokens = spec.tokens_by_id()
        self._ids = {token: id for id, token in self._tokens.items()}
        self._special = {token.id for token in spec.added if token.special}
        self._kernel = _core.WordTokenizer(**_kernel_arguments(spec))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a tokenizer.json (WordPiece or whole words) or a vocab.txt.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FileFormatError
            If the file is broken, or asks for a component that is not supported; names it.
        """
        from lowbit.files.tokenizer_json import read_tokenizer

        return cls(read_tokenizer(Path(path)))

    @classmethod
    def train(
        cls,
        corpus: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        model: str = "word",
        vocab_size: int | None = None,
        special_tokens: Sequence[str] = ("[UNK]",),
        lowercase: bool = True,
        min_count: int = 1,
        progress: bool = False,
    ) -> Tokenizer:
        """Make a vocabulary from a corpus.

        Parameters
        ----------
        corpus
            One path, or any number of texts (str) and files (pathlib.Path), read line by line.
        model
            "word": every word and punctuation mark; "character": every character.
        vocab_size
            Tokens to keep, special ones included: the most frequent, ties in alphabetical order.
            None for all.
        special_tokens
            Get the first ids. The first one stands for what is not in the vocabulary.
        lowercase
            Lower the case and strip accents first.
        min_count
            Rarer words are left out.
        progress
            Print the number of lines read to standard error now and then.

        Raises
        ------
        ValueError
            For another model, an empty corpus, or a `vocab_size` with no room for a word.
        """
        return cls(
            training.train(
                corpus, model, vocab_size, list(special_tokens), lowercase, min_count, progress
            )
        )

    def encode(
        self,
        text: str,
        pair: str | None = None,
        add_special_tokens: bool = True,
        max_length: int | None = None,
    ) -> Encoding:
        """The tokens of one text, or of two, with their places.

        Parameters
        ----------
        text, pair
            Special tokens written in a text are read as such.
        add_special_tokens
            Put the model's own round the text, such as [CLS] and [SEP].
        max_length
            Cut to this many tokens, special ones included; of a pair the longer text first.
        """
        parts = [self._kernel.encode(_check_text(t)) for t in (text, pair) if t is not None]
        template = self._template(pair is not None, add_special_tokens)
        room = NO_LIMIT if max_length is None else max_length - _special_count(template)
        if room < 0:
            raise ValueError(
                f"Tokenizer.encode: max_length={max_length} leaves no room for the "
                f"{_special_count(template)} special tokens"
            )
        lengths = _shares([len(part[0]) for part in parts], room)
        cut = [self._cut(part, n) for part, n in zip(parts, lengths, strict=True)]
        return self._assemble(template, cut)

    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        add_special_tokens: bool = True,
        num_threads: int | None = None,
        max_length: int | None = None,
    ) -> Batch:
        """The ids of many texts, computed on several threads.

        Parameters
        ----------
        texts, pairs
            Strings; `pairs` as many as `texts`.
        add_special_tokens, max_length
            As in `encode`.
        num_threads
            None: as many as `lowbit.set_num_threads` allows.
        """
        texts = _as_list("texts", texts)
        if pairs is None:
            arrays = self._ragged(texts, add_special_tokens, num_threads, max_length)
            return Batch(*arrays, np.zeros(len(arrays[0]), np.int32), self.pad_id)
        pairs = _as_list("pairs", pairs)
        if len(pairs) != len(texts):
            raise ValueError(f"Tokenizer.encode_batch: {len(texts)} texts but {len(pairs)} pairs")
        both = [
            self.encode(a, b, add_special_tokens, max_length)
            for a, b in zip(texts, pairs, strict=True)
        ]
        indptr = np.concatenate([[0], np.cumsum([len(e) for e in both])]).astype(np.int64)
        empty = np.zeros(0, np.int32)
        ids = np.concatenate([empty, *(e.ids for e in both)])
        types = np.concatenate([empty, *(e.type_ids for e in both)])
        return Batch(ids, indptr, types, self.pad_id)

    def _ragged(
        self,
        texts: list[str],
        add_special_tokens: bool,
        num_threads: int | None,
        max_length: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        template = self._template(False, add_special_tokens)
        place = next(i for i, slot in enumerate(template) if slot.text == "A")
        before = [id for slot in template[:place] for id in slot.ids]
        after = [id for slot in template[place + 1 :] for id in slot.ids]
        limit = NO_LIMIT if max_length is None else int(max_length)
        threads = _core.get_num_threads()
        if num_threads is not None and num_threads != threads:
            _core.set_num_threads(num_threads)
        try:
            return self._kernel.encode_batch(texts, before, after, limit, self._spec.keep_end)
        finally:
            if num_threads is not None and num_threads != threads:
                _core.set_num_threads(threads)

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        """The text of some ids.

        Raises
        ------
        IndexError
            If an id is no token.
        """
        tokens = []
        for id in np.asarray(ids).reshape(-1).tolist():
            token = self._tokens.get(id)
            if token is None:
                raise IndexError(f"Tokenizer.decode: id {id} is no token")
            if not (skip_special_tokens and id in self._special):
                tokens.append(token)
        return decode_tokens(self._spec, tokens)

    def decode_batch(self, batch: Any, skip_special_tokens: bool = False) -> list[str]:
        """The texts of several lists of ids, or of a `Batch`."""
        return [self.decode(batch[i], skip_special_tokens) for i in range(len(batch))]

    def token_to_id(self, token: str) -> int | None:
        """Id of a token, or None."""
        return self._ids.get(token)

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
        return self._ids.get(self._spec.pad_token or "[PAD]", 0)

    @property
    def spec(self) -> TokenizerSpec:
        """Everything that defines this tokenizer."""
        return self._spec

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a tokenizer.json that the tokenizers library reads with equal results."""
        from lowbit.files.tokenizer_json import write_tokenizer

        write_tokenizer(Path(path), self._spec)

    def _template(self, pair: bool, add_special_tokens: bool) -> tuple[Slot, ...]:
        template = self._spec.pair if pair else self._spec.single
        if add_special_tokens:
            return template
        return tuple(slot for slot in template if slot.text)

    def _cut(self, part: tuple[np.ndarray, ...], length: int) -> tuple[np.ndarray, ...]:
        if self._spec.keep_end:
            return tuple(array[len(array) - length :] for array in part)
        return tuple(array[:length] for array in part)

    def _assemble(self, template: tuple[Slot, ...], parts: list[tuple[Any, ...]]) -> Encoding:
        ids: list[np.ndarray] = []
        offsets: list[np.ndarray] = []
        types: list[np.ndarray] = []
        words: list[int | None] = []
        for slot in template:
            if slot.text:
                text_ids, begins, ends, text_words = parts["AB".index(slot.text)]
                ids.append(text_ids)
                offsets.append(np.stack([begins, ends], axis=1))
                words += text_words.tolist()
            else:
                ids.append(np.array(slot.ids, np.int32))
                offsets.append(np.zeros((len(slot.ids), 2), np.int32))
                words += [None] * len(slot.ids)
            types.append(np.full(len(ids[-1]), slot.type_id, np.int32))
        all_ids = np.concatenate(ids)
        return Encoding(
            all_ids,
            [self._tokens[id] for id in all_ids.tolist()],
            np.concatenate(offsets),
            np.ones(len(all_ids), np.int32),
            np.concatenate(types),
            words,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, (self._spec,)

    def __repr__(self) -> str:
        return (
            f"Tokenizer({self._spec.model}, {self.vocab_size} tokens, "
            f"{len(self._spec.added)} added)"
        )


def _kernel_arguments(spec: TokenizerSpec) -> dict[str, Any]:
    normalizer = spec.normalizer
    strip = False
    if normalizer is not None:
        strip = (
            normalizer.lowercase if normalizer.strip_accents is None else (normalizer.strip_accents)
        )
    return {
        "tokens": list(spec.vocabulary),
        "ids": list(spec.vocabulary.values()),
        "model": {
            "model": spec.model,
            "unknown_id": spec.vocabulary[spec.unknown],
            "continuing_prefix": spec.continuing_prefix,
            "max_characters": spec.max_characters,
        },
        "added": [vars(token) for token in spec.added],
        "split": {
            "characters": spec.model == "character",
            "normalize": normalizer is not None,
            "clean_text": normalizer is not None and normalizer.clean_text,
            "chinese_spaces": normalizer is not None and normalizer.chinese_spaces,
            "strip_accents": strip,
            "lowercase": normalizer is not None and normalizer.lowercase,
        },
    }


def _special_count(template: tuple[Slot, ...]) -> int:
    return sum(len(slot.ids) for slot in template)


def _shares(lengths: list[int], room: int) -> list[int]:
    """How many tokens each text keeps: the longer of two is cut first, as the reference does."""
    if sum(lengths) <= room:
        return lengths
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    shorter = min(lengths)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return [longer, shorter] if lengths[0] > lengths[1] else [shorter, longer]


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"Tokenizer.encode: the text is a {type(text).__name__}; pass a string")
    return text


def _as_list(argument: str, texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError(f"Tokenizer.encode_batch: {argument} is one string; pass a list of strings")
    return list(texts)
