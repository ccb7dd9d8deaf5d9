"""What an encoder's hidden states are asked for: vectors of texts, of tokens, of words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.files.encoder_config import EncoderConfig
from lowbit.files.sentence_config import SentenceConfig
from lowbit.models.batching import TokenBatch, TokenizedTexts
from lowbit.models.contextual import (
    ContextualVectors,
    Span,
    find_words,
    warn_of_cut_words,
    word_pieces,
)
from lowbit.models.layer_choice import Layers, chosen_layers, combined
from lowbit.models.layers import TransformerLayer
from lowbit.models.pooling import POOLINGS, pool
from lowbit.tokenizers import Tokenizer

Progress = Callable[[int, int], Any]
PIECES = ("mean", "first")


class EncoderVectors:
    """An encoder that gives vectors; use `Encoder`."""

    config: EncoderConfig
    tokenizer: Tokenizer
    sentence: SentenceConfig
    max_length: int
    layers: list[TransformerLayer]

    @abstractmethod
    def _first_states(self, batch: TokenBatch) -> np.ndarray:
        """What goes into the first layer, float32 [M, hidden_size]."""

    def layer_states(
        self, batch: TokenBatch, layer: Layers = -1, combine: str = "mean"
    ) -> np.ndarray:
        """Hidden states of every token of a batch; no layer behind the last one is computed.

        Parameters
        ----------
        batch
            Tokens of some texts.
        layer
            0 for what goes into the first layer, 1 for what comes out of it, and so on; -1 for the
            last. Or several.
        combine
            "mean" of several layers, or "concat": side by side, in the order of `layer`.

        Returns
        -------
        numpy.ndarray
            float32 [M, hidden_size], or [M, layers * hidden_size].
        """
        wanted = chosen_layers(layer, len(self.layers), combine)
        x = self._first_states(batch)
        found = {0: x} if 0 in wanted else {}
        for number in range(1, max(wanted) + 1):
            x = self.layers[number - 1](x, batch.indptr)
            if number in wanted:
                found[number] = x
        return combined([found[number] for number in wanted], combine)

    def hidden_states(
        self,
        ids: np.ndarray,
        mask: np.ndarray,
        type_ids: np.ndarray | None = None,
        layer: Layers = -1,
        combine: str = "mean",
    ) -> np.ndarray:
        """Hidden states of a padded batch, as other libraries lay it out.

        Parameters
        ----------
        ids, mask, type_ids
            [B, T]: token ids, 1 where a token is real, segment ids (0 when None).
        layer, combine
            As in `layer_states`.

        Returns
        -------
        numpy.ndarray
            float32 [B, T, hidden_size], or as wide as `combine` makes it; rows of masked tokens are
            zero.
        """
        states = self.layer_states(TokenBatch.from_padded(ids, mask, type_ids), layer, combine)
        out = np.zeros((*np.asarray(ids).shape, states.shape[1]), np.float32)
        out[np.asarray(mask).astype(bool)] = states
        return out

    def embed(
        self,
        texts: Sequence[str],
        batch_size: int = 32,
        normalize: bool = True,
        pooling: str | None = None,
        progress: Progress | None = None,
        layer: Layers = -1,
        combine: str = "mean",
    ) -> np.ndarray:
        """One vector per text.

        Parameters
        ----------
        texts
            Any number of strings, in any order of length.
        batch_size
            Texts computed together; does not change the result.
        normalize
            Scale every vector to length 1.
        pooling
            How the tokens' vectors become one: "mean", "cls" (the first), "lasttoken", "max",
            "mean_sqrt_len_tokens" or "weightedmean", as `lowbit.models.pooling.pool` has them;
            None: what the model's files say.
        progress
            Called with (texts done, texts in all) after every batch.
        layer, combine
            As in `layer_states`.

        Returns
        -------
        numpy.ndarray
            float32 [len(texts), hidden_size], or as wide as `combine` makes it.

        Raises
        ------
        ValueError
            If there is no such layer or pooling.
        """
        mode = pooling or self.sentence.pooling
        if mode not in POOLINGS:
            raise ValueError(f'embed: pooling="{mode}" is not known; use one of {POOLINGS}')
        tokenized = TokenizedTexts(self.tokenizer, texts, self.max_length)
        out = self._room(len(tokenized), layer, combine)
        for rows, batch in _batches(tokenized, batch_size, progress):
            out[rows] = pool(self.layer_states(batch, layer, combine), batch.indptr, mode)
        return _core.l2_normalize(out) if normalize else out

    def embed_tokens(
        self,
        texts: Sequence[str],
        batch_size: int = 32,
        normalize: bool = False,
        progress: Progress | None = None,
        layer: Layers = -1,
        combine: str = "mean",
    ) -> ContextualVectors:
        """A vector for every token, special ones included.

        Parameters
        ----------
        texts, batch_size, normalize, progress, layer, combine
            As in `embed`.

        Returns
        -------
        ContextualVectors
            With the tokens as `names`, and their places in the texts.
        """
        tokenized = TokenizedTexts(self.tokenizer, texts, self.max_length)
        out = self._room(len(tokenized.ids), layer, combine)
        for rows, batch in _batches(tokenized, batch_size, progress):
            out[tokenized.places(rows)] = self.layer_states(batch, layer, combine)
        encodings = [self.tokenizer.encode(text, max_length=self.max_length) for text in texts]
        return ContextualVectors(
            _core.l2_normalize(out) if normalize else out,
            tokenized.indptr,
            [token for encoding in encodings for token in encoding.tokens],
            np.concatenate([np.zeros((0, 2), np.int32), *(e.offsets for e in encodings)]),
            np.zeros(len(out), bool),
        )

    def embed_words(
        self,
        texts: Sequence[str],
        words: str | Sequence[str] | None = None,
        spans: Sequence[Sequence[Span]] | None = None,
        pieces: str = "mean",
        batch_size: int = 32,
        normalize: bool = False,
        progress: Progress | None = None,
        layer: Layers = -1,
        combine: str = "mean",
    ) -> ContextualVectors:
        """A vector for every word where it stands, made from those of its tokens.

        Words that the model does not read to their end, as a text is too long for it, keep their
        rows, but these are NaN, `cut` says so, and a `TruncationWarning` too.

        Parameters
        ----------
        texts
            Strings.
        words
            Only these, as whole words in any case. None, without `spans` either: every word, as the
            tokenizer separates them; punctuation marks are words.
        spans
            Instead of `words`: for each text a list of (first character, the one behind the last).
        pieces
            "mean" of the vectors of a word's tokens, or that of the "first".
        batch_size, normalize, progress, layer, combine
            As in `embed`.

        Returns
        -------
        ContextualVectors

        Raises
        ------
        ValueError
            If an option is not known, or no token has a character of a span.

        Examples
        --------
        >>> encoder = Encoder.from_pretrained(folder)                   # doctest: +SKIP
        >>> encoder.embed_words(["a river bank"], "bank", layer=4)      # doctest: +SKIP
        ContextualVectors(1 x 384 of 1 text)
        """
        if pieces not in PIECES:
            raise ValueError(f'embed_words: pieces="{pieces}" is not known; use "mean" or "first"')
        if words is not None and spans is not None:
            raise ValueError("embed_words: give words or spans, not both")
        tokenized = TokenizedTexts(self.tokenizer, texts, self.max_length)
        if words is not None:
            spans = find_words(texts, words)
        found = self._find_pieces(texts, spans)
        counts = [len(one.spans) for one in found]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        out = self._room(int(indptr[-1]), layer, combine)
        for rows, batch in _batches(tokenized, batch_size, progress):
            states = self.layer_states(batch, layer, combine)
            shifted = [
                place + begin
                for row, begin in zip(rows.tolist(), batch.indptr.tolist(), strict=False)
                for place in found[row].pieces
            ]
            target = [i for row in rows for i in range(indptr[row], indptr[row + 1])]
            out[target] = _of_pieces(states, shifted, "cls" if pieces == "first" else "mean")
        if normalize:
            out = _core.l2_normalize(out)
        cut = np.array([not len(p) for one in found for p in one.pieces], bool)
        out[cut] = np.nan
        flat = [(text, *span) for text, one in zip(texts, found, strict=True) for span in one.spans]
        names = [text[begin:end] for text, begin, end in flat]
        warn_of_cut_words(cut, names, self.max_length)
        places = np.array([place[1:] for place in flat], np.int32).reshape(-1, 2)
        return ContextualVectors(out, indptr, names, places, cut)

    def _find_pieces(self, texts: Sequence[str], spans: Sequence[Sequence[Span]] | None) -> list:
        if spans is None:
            return [word_pieces(self.tokenizer, text, self.max_length) for text in texts]
        if len(spans) != len(texts):
            raise ValueError(
                f"embed_words: spans has {len(spans)} lists for {len(texts)} texts; give one each"
            )
        found = []
        for i, (text, own) in enumerate(zip(texts, spans, strict=True)):
            try:
                found.append(word_pieces(self.tokenizer, text, self.max_length, own))
            except ValueError as error:
                raise ValueError(f"embed_words: texts[{i}]: {error}") from None
        return found

    def _room(self, rows: int, layer: Layers, combine: str) -> np.ndarray:
        """An array for so many vectors; refuses layers that do not exist before any work."""
        chosen = chosen_layers(layer, len(self.layers), combine)
        width = self.config.hidden_size * (len(chosen) if combine == "concat" else 1)
        return np.empty((rows, width), np.float32)


def _batches(
    tokenized: TokenizedTexts, batch_size: int, progress: Progress | None
) -> Iterator[tuple[np.ndarray, TokenBatch]]:
    """Batches of texts of like length, and which texts they are."""
    done = 0
    for rows in tokenized.by_length(batch_size):
        yield rows, tokenized.batch(rows)
        done += len(rows)
        if progress is not None:
            progress(done, len(tokenized))


def _of_pieces(states: np.ndarray, pieces: Sequence[np.ndarray], mode: str) -> np.ndarray:
    """A row for each word from the rows of its tokens.

    Examples
    --------
    >>> states = np.array([[1, 0], [3, 2], [5, 5]], np.float32)
    >>> _of_pieces(states, [np.array([0, 1]), np.array([2])], "mean").tolist()
    [[2.0, 1.0], [5.0, 5.0]]
    """
    flat = np.concatenate([np.zeros(0, np.int64), *pieces])
    indptr = np.concatenate([[0], np.cumsum([len(p) for p in pieces])]).astype(np.int64)
    return pool(states[flat], indptr, mode)
