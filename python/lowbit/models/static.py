"""Sentence vectors from a table: no layers, only rows that are looked up and averaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.embeddings import Embedding
from lowbit.errors import FileFormatError
from lowbit.files.atomic import replace_folder
from lowbit.files.static_folder import StaticFolder, read_static_folder, write_static_folder
from lowbit.models import static_distillation as distillation
from lowbit.models.batching import TokenizedTexts
from lowbit.models.encoder import Encoder
from lowbit.models.pooling import POOLINGS
from lowbit.quantization.matrix import QuantizedMatrix
from lowbit.tokenizers import Tokenizer

Progress = Callable[[int, int], Any]
FORMATS = ("fp32", "fp16", "int8")
NO_LIMIT = 1 << 30


class StaticEncoder:
    """Texts in, one vector each out: the mean of the rows of their tokens.

    `distill` makes one from an `Encoder`, a thousand times as fast and less exact;
    `from_pretrained` reads those of model2vec and sentence-transformers.

    Parameters
    ----------
    tokenizer
        Puts no special tokens round a text.
    table
        A row for each of its ids.
    normalize
        Whether `embed` scales vectors to length 1 where it is not told.
    max_length
        Tokens that are read of a text; None: all.
    config
        For config.json.

    Attributes
    ----------
    tokenizer, table, normalize, max_length, config
        As the parameters.
    unknown_id : int or None
        Of the token that stands for what cannot be spelled; it counts for nothing.

    Examples
    --------
    >>> tok = Tokenizer.train(["low bit"], model="word")
    >>> model = StaticEncoder(tok, Embedding([[9.0, 9.0], [2.0, 1.0], [4.0, -1.0]]))
    >>> model.embed(["low bit!", "", "?"]).tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        table: Embedding,
        normalize: bool = True,
        max_length: int | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        highest = max(tokenizer.spec.tokens_by_id())
        if highest >= table.shape[0]:
            raise ValueError(
                f"StaticEncoder: the table has {table.shape[0]} rows, the tokenizer has ids up to "
                f"{highest}"
            )
        self.tokenizer = distillation.plain_tokenizer(tokenizer)
        self.table = table
        self.normalize = normalize
        self.max_length = max_length
        self.config = dict(config or {})
        self.unknown_id = distillation.unknown_id(tokenizer)

    @classmethod
    def distill(
        cls,
        encoder: Encoder,
        dim: int | None = 256,
        *,
        words: Iterable[str] = (),
        sif: float | None = 1e-4,
        pooling: str = "mean",
        format: str = "fp16",
        progress: Progress | None = None,
    ) -> StaticEncoder:
        """The table of an encoder: the vector of every token alone, shortened and weighted.

        Steps and defaults are those of model2vec. It has nothing to do with training:
        `lowbit.models.distill` trains rounded weights.

        Parameters
        ----------
        encoder
            In any format.
        dim
            Principal components to keep; None leaves the vectors as they are.
        words
            More words, or runs of words, that get rows of their own: where a text has one between
            characters that are not of a word, it is not cut into pieces.
        sif
            The a of a / (a + p), by which a row is multiplied, where p is the share of the token in
            texts by Zipf's law: frequent tokens count less. None for no weights.
        pooling
            Of the vectors of the token and the special tokens round it.
        format
            Of the table: "fp32", "fp16" or "int8".
        progress
            Called with (tokens done, tokens in all).

        Raises
        ------
        ValueError
            If an option is out of its range.

        Examples
        --------
        >>> encoder = lb.models.Encoder.from_pretrained(folder)             # doctest: +SKIP
        >>> lb.models.StaticEncoder.distill(encoder, dim=256)               # doctest: +SKIP
        StaticEncoder(29525 tokens, 256 values each, fp16, 15.1 MB)
        """
        hidden = encoder.config.hidden_size
        if dim is not None and not 1 <= dim <= hidden:
            raise ValueError(f"distill: dim={dim} must be from 1 to {hidden}, or None")
        if sif is not None and not 0 < sif < 1:
            raise ValueError(f"distill: sif={sif} must be above 0 and below 1, or None")
        if format not in FORMATS:
            raise ValueError(f'distill: format="{format}" is not known; use one of {FORMATS}')
        if pooling not in POOLINGS:
            raise ValueError(f'distill: pooling="{pooling}" is not known; use one of {POOLINGS}')
        tokenizer, ids = distillation.small_vocabulary(encoder.tokenizer)
        tokenizer, spelled = distillation.add_words(tokenizer, encoder.tokenizer, words)
        vectors = distillation.vectors_alone(encoder, ids, spelled, pooling, progress)
        if dim is not None:
            if dim >= len(vectors):
                raise ValueError(f"distill: dim={dim} must be below the {len(vectors)} tokens")
            vectors = distillation.principal_components(vectors, dim)
        if sif is not None:
            vectors *= distillation.zipf_weights(len(vectors), sif)[:, None]
        rows = _at_their_ids(vectors.astype(np.float32), tokenizer)
        config = {
            "tokenizer_name": encoder.source.name,
            "apply_pca": dim,
            "sif_coefficient": sif,
            "pooling": pooling,
        }
        return cls(tokenizer, Embedding(rows, format), config=config)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> StaticEncoder:
        """Read a folder that `save`, model2vec or sentence-transformers wrote.

        Rows stay in their type. Weights and a mapping of tokens to rows, which model2vec may have,
        are worked into the table, in float32.

        Raises
        ------
        FileNotFoundError, FileFormatError
            For a missing or broken file.
        """
        found = read_static_folder(Path(folder))
        tokenizer = Tokenizer.from_file(found.tokenizer_path)
        try:
            return cls(tokenizer, _table(found), found.normalize, found.max_length, found.config)
        except ValueError as error:
            raise FileFormatError(f"{folder}: {error}") from error

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a new folder that `from_pretrained` and model2vec read.

        Scales of int8 rows are in model2vec's "weights".

        Raises
        ------
        ValueError
            If the table is in a format that they do not know.
        OSError
            If the folder exists or cannot be written.
        """
        if self.table.format not in FORMATS:
            raise ValueError(f"save: a table in {self.table.format}; use one of {FORMATS}")
        target = Path(folder)
        if target.exists():
            raise FileExistsError(f"save: {target} exists; choose a new folder")
        rows, scales = self.table.kernel_table()
        tensors = {"embeddings": rows} | ({} if scales is None else {"weights": scales})
        config = self.config | {
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": self.table.shape[1],
            "seq_length": 1_000_000,
            "normalize": self.normalize,
            "max_length": self.max_length,
            "embedding_dtype": rows.dtype.name,
        }
        with replace_folder(target) as staging:
            self.tokenizer.save(staging / "tokenizer.json")
            write_static_folder(staging, tensors, config)

    def embed(
        self,
        texts: Sequence[str],
        batch_size: int = 128,
        normalize: bool | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """One vector per text; zeros for one without a known token.

        Parameters
        ----------
        texts
            Strings.
        batch_size
            Texts whose rows are in memory at a time; does not change the result.
        normalize
            Scale every vector to length 1; None: as the model says.
        progress
            Called with (texts done, texts in all) after every batch.

        Returns
        -------
        numpy.ndarray
            float32 [len(texts), dim].
        """
        tokenized = TokenizedTexts(self.tokenizer, texts, self.max_length or NO_LIMIT)
        ids, indptr = tokenized.ids, tokenized.indptr
        if self.unknown_id is not None:
            known = ids != self.unknown_id
            ids, indptr = ids[known], np.concatenate([[0], np.cumsum(known)])[indptr]
        wanted = self.normalize if normalize is None else normalize
        out = np.empty((len(tokenized), self.dim), np.float32)
        for begin in range(0, len(out), batch_size):
            bags = indptr[begin : begin + batch_size + 1]
            own = ids[bags[0] : bags[-1]]
            vectors = self.table.pool(own, bags - bags[0], mode="mean")
            out[begin : begin + batch_size] = _core.l2_normalize(vectors) if wanted else vectors
            if progress is not None:
                progress(min(begin + batch_size, len(out)), len(out))
        return out

    @property
    def dim(self) -> int:
        """Values of a vector."""
        return self.table.shape[1]

    @property
    def format(self) -> str:
        """Format of the table."""
        return self.table.format

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes

    def __repr__(self) -> str:
        return (
            f"StaticEncoder({self.tokenizer.vocab_size} tokens, {self.dim} values each, "
            f"{self.format}, {self.nbytes / 1e6:.1f} MB)"
        )


def _at_their_ids(rows: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Rows in the order of ids as a table; ids that are no tokens, in a vocabulary with gaps, get
    zeros."""
    ids = np.array(sorted(tokenizer.spec.tokens_by_id()))
    if ids[-1] + 1 == len(rows):
        return rows
    table = np.zeros((ids[-1] + 1, rows.shape[1]), rows.dtype)
    table[ids] = rows
    return table


def _table(found: StaticFolder) -> Embedding:
    """The table as it is stored, unless weights or a mapping are to be worked into it."""
    rows = found.rows
    if rows.dtype == np.int8 and found.mapping is None and rows.min() >= -127:
        # model2vec's own int8 rows have no scales, which does not matter to cosines.
        scales = np.ones(len(rows), np.float32) if found.weights is None else found.weights
        return Embedding.from_packed(
            QuantizedMatrix.from_codes("int8", rows, scales[:, None], None)
        )
    if found.mapping is None and found.weights is None:
        return Embedding(rows, "fp16" if rows.dtype == np.float16 else "fp32")
    rows = rows.astype(np.float32)
    rows = rows if found.mapping is None else rows[found.mapping]
    return Embedding(rows if found.weights is None else rows * found.weights[:, None])
