"""The tokenizer people use: built from files or a corpus, immutable, safe in any thread."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.errors import FileFormatError
from lowbit.tokenizers import training
from lowbit.tokenizers.assembly import assemble, batch_types, cut, shares, special_count
from lowbit.tokenizers.base import TokenizerBase
from lowbit.tokenizers.encoding import Batch, Encoding
from lowbit.tokenizers.spec import Slot

NO_LIMIT = (1 << 63) - 1


class Tokenizer(TokenizerBase):
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

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        pattern: str | None = None,
        special_tokens: dict[str, int] | None = None,
    ) -> Tokenizer:
        """Read a tokenizer of any format that is known.

        Parameters
        ----------
        path
            A tokenizer.json, a .tiktoken file, a .model of sentencepiece, a vocab.txt, a vocab.json
            with merges.txt beside it; or a folder with one of these.
        pattern, special_tokens
            What a file in tiktoken's format does not say: how texts are cut into words, as a
            regular expression or a name of `lowbit.tokenizers.patterns.PATTERNS`, and ids of
            special tokens. Published files are known by their digest.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FileFormatError
            If the file is broken, or asks for a component that is not supported; names it.
        """
        from lowbit.files.tokenizer_files import read_tokenizer

        spec = read_tokenizer(Path(path), pattern, special_tokens)
        try:
            return cls(spec)
        except ValueError as error:
            raise FileFormatError(f"{path}: {error}") from error

    @classmethod
    def train(
        cls,
        corpus: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        model: str = "word",
        vocab_size: int | None = None,
        special_tokens: Sequence[str] | None = None,
        lowercase: bool | None = None,
        min_count: int = 1,
        progress: bool = False,
    ) -> Tokenizer:
        """Make a vocabulary from a corpus; the same corpus always gives the same one.

        Parameters
        ----------
        corpus
            One path, or any number of texts (str) and files (pathlib.Path), read line by line.
        model
            "word": every word and punctuation mark; "character": every character; "bpe": byte-level
            byte-pair encoding as GPT-2, with the merges of the tokenizers library; "wordpiece":
            pieces of words as BERT; "unigram": the most likely pieces, as sentencepiece.
        vocab_size
            Tokens, special ones included. Of words and characters the most frequent are kept, ties
            in alphabetical order, and None is for all; for the others it is for 30,000.
        special_tokens
            Get the first ids. None: "[UNK]" for words and characters, where the first one stands
            for what is not in the vocabulary, as for "unigram", where they are "<unk>", "<s>" and
            "</s>"; BERT's five for "wordpiece"; "<|endoftext|>" for "bpe".
        lowercase
            Lower the case and strip accents first; for "unigram" only the first. None: not for
            "bpe" and "unigram".
        min_count
            Rarer words, or pairs of pieces, are left out.
        progress
            Print how far it is to standard error now and then.

        Raises
        ------
        ValueError
            For another model, an empty corpus, or a `vocab_size` with no room for a word.

        Examples
        --------
        >>> tok = Tokenizer.train(["low lower lowest"], model="bpe", vocab_size=260)
        >>> tok.encode("lowest").tokens
        ['low', 'e', 's', 't']
        """
        specials = None if special_tokens is None else list(special_tokens)
        return cls(
            training.train(corpus, model, vocab_size, specials, lowercase, min_count, progress)
        )

    def encode(
        self,
        text: str,
        pair: str | None = None,
        add_special_tokens: bool = True,
        max_length: int | None = None,
        parse_special: bool | None = None,
    ) -> Encoding:
        """The tokens of one text, or of two, with their places.

        Parameters
        ----------
        text, pair
            Strings.
        add_special_tokens
            Put the model's own round the text, such as [CLS] and [SEP].
        max_length
            Cut to this many tokens, special ones included; of a pair the longer text first.
        parse_special
            Whether special tokens written in a text are read as such, which is not for texts that
            strangers write. None: as in the library the file belongs to: always, but in tiktoken's
            format with `add_special_tokens`.
        """
        special = self._parses_special(parse_special, add_special_tokens)
        texts = [_check_text(t) for t in (text, pair) if t is not None]
        parts = [self._kernel.encode(t, special) for t in texts]
        template = self._template(pair is not None, add_special_tokens)
        room = NO_LIMIT if max_length is None else max_length - special_count(template)
        if room < 0:
            raise ValueError(
                f"Tokenizer.encode: max_length={max_length} leaves no room for the "
                f"{special_count(template)} special tokens"
            )
        lengths = shares([len(part[0]) for part in parts], room)
        keep_end = self._spec.keep_end
        kept = [cut(part, n, keep_end) for part, n in zip(parts, lengths, strict=True)]
        return assemble(template, kept, self._tokens, self._spec.trim)

    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        add_special_tokens: bool = True,
        num_threads: int | None = None,
        max_length: int | None = None,
        parse_special: bool | None = None,
    ) -> Batch:
        """The ids of many texts, computed on several threads.

        Parameters
        ----------
        texts, pairs
            Strings; `pairs` as many as `texts`.
        add_special_tokens, max_length, parse_special
            As in `encode`.
        num_threads
            None: as many as `lowbit.set_num_threads` allows.
        """
        texts = _as_list("texts", texts)
        if pairs is None:
            special = self._parses_special(parse_special, add_special_tokens)
            ids, indptr = self._ragged(texts, add_special_tokens, num_threads, max_length, special)
            types = batch_types(self._template(False, add_special_tokens), indptr)
            return Batch(ids, indptr, types, self.pad_id)
        pairs = _as_list("pairs", pairs)
        if len(pairs) != len(texts):
            raise ValueError(f"Tokenizer.encode_batch: {len(texts)} texts but {len(pairs)} pairs")
        both = [
            self.encode(a, b, add_special_tokens, max_length, parse_special)
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
        special: bool,
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
            return self._kernel.encode_batch(
                texts, before, after, limit, self._spec.keep_end, special
            )
        finally:
            if num_threads is not None and num_threads != threads:
                _core.set_num_threads(threads)

    def _parses_special(self, asked: bool | None, add_special_tokens: bool) -> bool:
        if asked is None:
            return add_special_tokens or not self._spec.asks_for_special
        return asked

    def count(self, text: str, parse_special: bool | None = None) -> int:
        """How many tokens a text has, without those of the template and without making them.

        Examples
        --------
        >>> Tokenizer.train(["low bit"], model="word").count("low bit, low rank")
        5
        """
        special = self._parses_special(parse_special, add_special_tokens=False)
        return self._kernel.count(_check_text(text), special)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a tokenizer.json that the tokenizers library reads with equal results.

        Ranks of tiktoken become the merges that do the same; whether special tokens written in a
        text are read as such without `add_special_tokens` is not in the file: there it always is.

        Raises
        ------
        ValueError
            If the format cannot hold the tokenizer, as for those of sentencepiece; names what it
            cannot hold, and nothing is written.
        """
        from lowbit.files.tokenizer_json import write_tokenizer

        write_tokenizer(Path(path), self._spec)

    def _template(self, pair: bool, add_special_tokens: bool) -> tuple[Slot, ...]:
        template = self._spec.pair if pair else self._spec.single
        if add_special_tokens:
            return template
        return tuple(slot for slot in template if slot.text)


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"Tokenizer.encode: the text is a {type(text).__name__}; pass a string")
    return text


def _as_list(argument: str, texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError(f"Tokenizer.encode_batch: {argument} is one string; pass a list of strings")
    return list(texts)
