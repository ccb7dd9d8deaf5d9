"""Texts to ids, one in detail or many at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lowbit.tokenizers.assembly import (
    around_text,
    assemble,
    assemble_batch,
    batch_types,
    in_bytes,
    special_count,
)
from lowbit.tokenizers.counting import TokenizerCounts, as_list, check_text, most_threads
from lowbit.tokenizers.encoding import Batch, Encoding, LaterEncoding
from lowbit.tokenizers.sampling import Sampling, check_nbest, make_sampling
from lowbit.tokenizers.spec import Slot
from lowbit.tokenizers.special_policy import Policy, check_disallowed, specials_read
from lowbit.tokenizers.truncation import UNCUT, Cutting, make_cutting

NO_LIMIT = (1 << 63) - 1


class TokenizerEncodes(TokenizerCounts):
    """A tokenizer that encodes; use `Tokenizer`."""

    def encode(
        self,
        text: str,
        pair: str | None = None,
        add_special_tokens: bool = True,
        max_length: int | None = None,
        parse_special: Policy | None = None,
        *,
        stride: int | None = None,
        strategy: str | None = None,
        direction: str | None = None,
        offsets: str = "chars",
        disallow: Policy = False,
        dropout: float | None = None,
        alpha: float | None = None,
        nbest_size: int | None = None,
        seed: int | None = None,
    ) -> Encoding:
        """The tokens of one text, or of two, with their places.

        Parameters
        ----------
        text, pair
            Strings.
        add_special_tokens
            Put the model's own round the text, such as [CLS] and [SEP].
        max_length
            Cut to this many tokens, special ones included.
        parse_special
            Whether special tokens written in a text are read as such, which is not for texts that
            strangers write; or a set of those that are. None: as in the library the file belongs
            to: always, but in tiktoken's format with `add_special_tokens`.
        stride
            Return the rest of a text that was cut as `overflowing` windows of the same length, each
            sharing so many tokens with the one before. Windows over both texts of a pair are all
            combined. None: the rest is dropped.
        strategy
            Which text of a pair is cut: "longest_first", "only_first" or "only_second". None: as
            the file says, or the longest first.
        direction
            "right" cuts the end, "left" the beginning. None: as the file says, or right.
        offsets
            Places in "chars", or in the "bytes" of UTF-8.
        disallow
            Refuse texts with special tokens in them: True for any but those that a set
            `parse_special` names, or a set.
        dropout
            Of BPE models: the probability that a merge is passed over, each time it could be made
            (Provilkov et al., 2020), which spells words at random in more and shorter tokens. 0 is
            without; 1 leaves characters or bytes. None: as the file says, mostly without.
        alpha, nbest_size
            Of Unigram models: draw every spelling of a word, or of a whole text where the model
            does not cut it into words, with a probability proportional to exp(alpha * score), from
            the `nbest_size` best, or from all (-1, as None). None: the best spelling.
        seed
            0 to 2^64-1. The same seed gives the same spellings, here and for the first text of a
            batch, on any number of threads. None: others each time.

        Raises
        ------
        ValueError
            If `max_length` or `stride` have no room, `strategy` has not enough to cut, the text
            has a token that `disallow` refuses, or `dropout`, `alpha` or `nbest_size` are not for
            this model.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> tok = Tokenizer.train(["low bit low rank"], model="word")
        >>> encoding = tok.encode("low bit low rank", max_length=2, stride=0)
        >>> encoding.tokens, [window.tokens for window in encoding.overflowing]
        (['low', 'bit'], [['low', 'rank']])
        """
        if (
            type(text) is str
            and pair is max_length is stride is strategy is direction is None
            and dropout is alpha is nbest_size is seed is None
            and not self._dropout
            and disallow is False
            and offsets == "chars"
            and (parse_special is None or type(parse_special) is bool)
        ):
            before, after, special = self._frames[bool(add_special_tokens)]
            if parse_special is not None:
                special = parse_special
            ids = self._kernel.encode_ids(text, special, before, after)
            rest = (text,), add_special_tokens, special
            return LaterEncoding.of(ids, self._encode_all, rest)
        texts = [check_text(t) for t in (text, pair) if t is not None]
        check_disallowed(self._spec, disallow, parse_special, texts)
        special = specials_read(self._spec, parse_special, add_special_tokens)
        if offsets not in ("chars", "bytes"):
            raise ValueError(f'Tokenizer.encode: offsets="{offsets}" is not "chars" or "bytes"')
        template = self._template(pair is not None, add_special_tokens)
        cutting = self._cutting("encode", template, max_length, stride, strategy, direction)
        sampling = make_sampling("encode", self._spec.model, dropout, alpha, nbest_size, seed)
        return self._encode_all(texts, add_special_tokens, special, cutting, offsets, sampling)

    def _encode_all(
        self,
        texts: Sequence[str],
        add_special_tokens: bool,
        special: bool | list[int],
        cutting: Cutting = UNCUT,
        offsets: str = "chars",
        sampling: Sampling | None = None,
    ) -> Encoding:
        template = self._template(len(texts) == 2, add_special_tokens)
        drawn = [sampling and sampling.of_side(side) for side in range(len(texts))]
        parts = [self._kernel.encode(t, special, d) for t, d in zip(texts, drawn, strict=True)]
        if offsets == "bytes":
            parts = [in_bytes(part, t) for part, t in zip(parts, texts, strict=True)]
        spans = cutting.spans([len(part[0]) for part in parts])
        return assemble(template, parts, spans, self._tokens, self._spec.trim)

    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        add_special_tokens: bool = True,
        num_threads: int | None = None,
        max_length: int | None = None,
        parse_special: Policy | None = None,
        *,
        stride: int | None = None,
        strategy: str | None = None,
        direction: str | None = None,
        disallow: Policy = False,
        dropout: float | None = None,
        alpha: float | None = None,
        nbest_size: int | None = None,
        seed: int | None = None,
    ) -> Batch:
        """The ids of many texts, computed on several threads.

        Parameters
        ----------
        texts, pairs
            Strings; `pairs` as many as `texts`.
        add_special_tokens, max_length, parse_special, strategy, direction, disallow
            As in `encode`.
        num_threads
            At most so many. None: as many as `lowbit.set_num_threads` allows.
        stride
            As in `encode`; the windows of a text are rows behind its own, see `Batch.sources`.
        dropout, alpha, nbest_size, seed
            As in `encode`. With one seed the spelling of a text depends on its place in the batch.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> tok = Tokenizer.train(["low bit low rank"], model="word")
        >>> batch = tok.encode_batch(["low bit low", "bit"], max_length=2, stride=0)
        >>> batch.indptr.tolist(), batch.sources.tolist()
        ([0, 2, 3, 4], [0, 0, 1])
        """
        given = [as_list("texts", texts)]
        if pairs is not None:
            given.append(as_list("pairs", pairs))
            if len(given[1]) != len(given[0]):
                raise ValueError(
                    f"Tokenizer.encode_batch: {len(given[0])} texts but {len(given[1])} pairs"
                )
        template = self._template(pairs is not None, add_special_tokens)
        cutting = self._cutting("encode_batch", template, max_length, stride, strategy, direction)
        for some in given:
            check_disallowed(self._spec, disallow, parse_special, some)
        special = specials_read(self._spec, parse_special, add_special_tokens)
        threads = most_threads("encode_batch", num_threads)
        sampling = make_sampling("encode_batch", self._spec.model, dropout, alpha, nbest_size, seed)
        drawn = [sampling and sampling.of_side(side) for side in range(len(given))]
        if pairs is None and stride is None and cutting.strategy != "only_second":
            before, after = around_text(template)
            limit = NO_LIMIT if max_length is None else max_length
            ids, indptr = self._kernel.encode_batch(
                given[0], before, after, limit, cutting.left, special, threads, drawn[0]
            )
            return Batch(ids, indptr, batch_types(template, indptr), self.pad_id)
        ragged = [
            self._kernel.encode_batch(some, [], [], NO_LIMIT, False, special, threads, sides)
            for some, sides in zip(given, drawn, strict=True)
        ]
        return assemble_batch(template, ragged, cutting, self.pad_id)

    def nbest_encode(
        self,
        text: str,
        nbest_size: int,
        add_special_tokens: bool = True,
        parse_special: Policy | None = None,
    ) -> list[tuple[np.ndarray, float]]:
        """The best spellings of a text by a Unigram model, as sentencepiece's `nbest_encode`.

        Parameters
        ----------
        nbest_size
            How many, from 1 to 65536; fewer come where a text has fewer. Where the model cuts texts
            into words, they are spellings of all words together.
        add_special_tokens, parse_special
            As in `encode`.

        Returns
        -------
        list of (ids, score)
            In descending order of the scores, which are the sums of those of the tokens; ids are
            int32 [n]. The first spelling is mostly that of `encode`, but of nearly equal sums in
            float32, as models of sentencepiece have, another one may win.

        Raises
        ------
        ValueError
            If the model is no Unigram, or `nbest_size` is out of its range.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> tok = Tokenizer.train(["low lower lowest low"], model="unigram", vocab_size=20)
        >>> best = tok.nbest_encode("lowest", 3)
        >>> best[0][0].tolist() == tok.encode("lowest").ids.tolist(), best[0][1] > best[1][1]
        (True, True)
        """
        check_nbest("nbest_encode", self._spec.model, nbest_size)
        special = specials_read(self._spec, parse_special, add_special_tokens)
        before, after = around_text(self._template(False, add_special_tokens))
        return [
            (np.concatenate([before, ids, after]).astype(np.int32), score)
            for ids, score in self._kernel.nbest(check_text(text), special, nbest_size)
        ]

    def encode_files(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        unit: str = "line",
        batch_bytes: int = 1 << 24,
        progress: bool = False,
        **arguments: Any,
    ) -> Iterator[Batch]:
        """The ids of text files, which may be larger than memory, some texts at a time.

        Parameters
        ----------
        paths
            One UTF-8 file or several, read in order.
        unit
            "line": every line is a text, without its end, which is a newline or a carriage return
            and a newline; "document": every file is.
        batch_bytes
            About how much text a batch is made of; a longer line or document comes whole.
        progress
            Print how far it is to standard error.
        **arguments
            Of `encode_batch`: `num_threads`, `max_length` and so on. With a `seed` every batch has
            one of its own, which follows from it.

        Returns
        -------
        iterator of Batch
            `Batch.concatenate` makes one of them all.

        Raises
        ------
        FileFormatError
            If a file is not UTF-8; names the file and the byte.

        Examples
        --------
        >>> import os, tempfile
        >>> from lowbit import Tokenizer
        >>> tok = Tokenizer.train(["low bit"], model="word")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "texts.txt")
        ...     with open(path, "w") as file:
        ...         _ = file.write("low bit\\nlow\\n")
        ...     [batch.indptr.tolist() for batch in tok.encode_files(path)]
        [[0, 2, 3]]
        """
        from lowbit.files.text_files import encode_files

        return encode_files(self, paths, unit, batch_bytes, progress, arguments)

    def _cutting(self, function: str, template: tuple[Slot, ...], *asked: Any) -> Cutting:
        special = special_count(template)
        return make_cutting(f"Tokenizer.{function}", special, self._spec.truncation, *asked)
