"""A row for every token from an encoder: the vector of the token alone, shortened and weighted.

What is computed is written to be read in `lowbit.reference.static_embeddings`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from lowbit.models.batching import TokenBatch
from lowbit.models.encoder import Encoder
from lowbit.models.pooling import pool
from lowbit.tokenizers import Tokenizer
from lowbit.tokenizers.assembly import around_text
from lowbit.tokenizers.spec import AddedToken, Slot, WordLevel, WordPiece

Progress = Callable[[int, int], Any]
BATCH = 512  # tokens of the vocabulary computed together
UNUSED = re.compile(r"\[unused\d+\]")


def plain_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """The same without special tokens round a text, and without the cutting its file asks for."""
    spec = tokenizer.spec
    single, pair = (Slot("A"),), (Slot("A"), Slot("B", type_id=1))
    return Tokenizer(replace(spec, single=single, pair=pair, truncation=None, padding=None))


def small_vocabulary(tokenizer: Tokenizer) -> tuple[Tokenizer, np.ndarray]:
    """A tokenizer of plain texts for a table of rows, and the old id of each of its tokens.

    Of WordPiece and whole words those tokens are left out that no plain text has: special ones but
    the unknown one and that of padding, and the "[unused0]" of BERT. The others keep their order,
    so that the place of a token is its rank. Other models keep all ids.

    Examples
    --------
    >>> tok = Tokenizer.train(["low bit"], model="word", special_tokens=["[UNK]", "[CLS]"])
    >>> small, ids = small_vocabulary(tok)
    >>> [small.id_to_token(i) for i in range(small.vocab_size)], ids.tolist()
    (['[UNK]', 'bit', 'low'], [0, 2, 3])
    """
    spec = plain_tokenizer(tokenizer).spec
    model = spec.model
    by_id = dict(sorted(spec.tokens_by_id().items()))
    if not isinstance(model, WordPiece | WordLevel):
        return Tokenizer(spec), np.array(list(by_id), np.int64)
    needed = {model.unknown, by_id.get(tokenizer.pad_id)}
    special = {token.content for token in spec.added if token.special} - needed
    kept = [t for t in by_id.values() if t not in special and not UNUSED.fullmatch(t)]
    numbers = {token: number for number, token in enumerate(kept)}
    added = (replace(t, id=numbers[t.content]) for t in spec.added if t.content in numbers)
    only_added = {t.content for t in spec.added} - set(model.vocabulary)
    words = {token: number for token, number in numbers.items() if token not in only_added}
    small = replace(spec, model=replace(model, vocabulary=words), added=tuple(added))
    old = {token: id for id, token in by_id.items()}
    return Tokenizer(small), np.array([old[token] for token in kept], np.int64)


def add_words(
    small: Tokenizer, original: Tokenizer, words: Iterable[str]
) -> tuple[Tokenizer, list[np.ndarray]]:
    """A tokenizer that keeps these words whole, and the original's ids of each that was added.

    Words that are one token already are left out; so are those that the tokenizer cannot spell,
    with a warning.
    """
    added: list[AddedToken] = []
    ids: list[np.ndarray] = []
    refused: list[str] = []
    seen: set[str] = set()
    unknown = unknown_id(original)
    for word in (word.strip() for word in words):
        encoding = original.encode(word)
        own = encoding.ids[encoding.special_tokens_mask == 0]
        text = original.decode(own).strip()
        if (len(own) < 2 and unknown not in own) or text in seen:
            continue
        if unknown in own:
            refused.append(word)
            continue
        seen.add(text)
        added.append(AddedToken(word, special=False, single_word=True, normalized=True))
        ids.append(encoding.ids)
    if refused:
        warnings.warn(
            f"{len(refused)} words, such as {refused[0]!r}, cannot be spelled by the tokenizer and "
            "were left out",
            UserWarning,
            stacklevel=3,
        )
    return (small.add_tokens(added) if added else small), ids


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Id of what cannot be spelled, if the model has one."""
    unknown = tokenizer.spec.model.unknown
    return None if unknown is None else tokenizer.token_to_id(unknown)


def vectors_alone(
    encoder: Encoder,
    ids: np.ndarray,
    words: list[np.ndarray],
    pooling: str,
    progress: Progress | None,
) -> np.ndarray:
    """Vectors of texts of one token each, and of some words, float32 [len(ids) + len(words), D].

    Parameters
    ----------
    ids
        Int64 [V]; the special tokens of the encoder are put round each.
    words
        Ids of whole texts.
    """
    before, after = around_text(encoder.tokenizer.spec.single)
    texts = np.empty((len(ids), len(before) + 1 + len(after)), np.int32)
    texts[:, : len(before)], texts[:, len(before) + 1 :] = before, after
    texts[:, len(before)] = ids
    rows = [*texts, *(word[: encoder.max_length] for word in words)]
    out = np.empty((len(rows), encoder.config.hidden_size), np.float32)
    for begin in range(0, len(rows), BATCH):
        some = rows[begin : begin + BATCH]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in some])])
        batch = TokenBatch.from_ids(np.concatenate(some), indptr)
        out[begin : begin + BATCH] = pool(encoder.layer_states(batch), batch.indptr, pooling)
        if progress is not None:
            progress(min(begin + BATCH, len(rows)), len(rows))
    return out


def principal_components(x: np.ndarray, dim: int) -> np.ndarray:
    """The first components of the rows of x, float64 [N, dim]; signs as in the reference.

    Examples
    --------
    >>> principal_components(np.array([[0.0, 3.0], [0.0, 1.0], [0.0, -7.0]]), 1).round(4).tolist()
    [[-4.0], [-2.0], [6.0]]
    """
    centered = x.astype(np.float64)
    centered -= centered.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    scores = centered @ directions[:, ::-1][:, :dim]
    scores *= np.where(scores.max(axis=0) >= -scores.min(axis=0), 1.0, -1.0)
    return scores


def zipf_weights(count: int, a: float) -> np.ndarray:
    """a / (a + p) for the probabilities p that Zipf's law gives ranks 0, 1, ..., float64 [count].

    Examples
    --------
    >>> zipf_weights(2, 0.4).tolist()
    [0.4, 0.5]
    """
    inverse = 1 / np.arange(2, count + 2)
    return a / (a + inverse / inverse.sum())
