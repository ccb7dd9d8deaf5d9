"""Positions as numbers that are added to the scores of attention, float32 [..., heads, Q, K]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.positions.config import blamed_on, read_config


class Bias(ABC):
    """What all of them share: they depend on where query and key stand.

    `scheme(queries, keys)` takes positions [Q] and [K], or [batches, Q] and [batches, K]; without
    keys they are those of the queries. The result has the heads before the last two axes. It is
    added to q k^T / sqrt(d), before the softmax and the mask.
    """

    def __call__(self, queries: Any, keys: Any = None) -> np.ndarray:
        """The biases, float32 [heads, Q, K] or [batches, heads, Q, K]."""
        name = f"positions.{type(self).__name__}"
        i = _positions(queries, name, "queries")
        j = i if keys is None else _positions(keys, name, "keys")
        if i.shape[:-1] != j.shape[:-1] and i.ndim == j.ndim:
            raise ValueError(f"{name}: queries have shape {i.shape}, keys {j.shape}")
        return self._of(i[..., None, :, None], j[..., None, None, :]).astype(np.float32)

    @abstractmethod
    def _of(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """For positions that broadcast to [..., 1, Q, K]."""


def _positions(value: Any, name: str, argument: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: {argument} have dtype {array.dtype}; pass integers")
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{name}: {argument} have shape {array.shape}; expected [tokens] or [batches, tokens]"
        )
    return array.astype(np.int64)


class ALiBi(Bias):
    """-slope |i - j|: each head has a slope of its own (Press et al., 2022).

    Slopes of a power of two of heads are 2^(-bias_max (h + 1) / heads); other counts take those of
    the power below, then every second one of the power above.

    Parameters
    ----------
    heads
        How many.
    bias_max
        The exponent of the last head; MPT calls it alibi_bias_max.

    Attributes
    ----------
    slopes
        float32 [heads].

    Examples
    --------
    >>> alibi = ALiBi(heads=2)
    >>> alibi.slopes.tolist(), alibi([0, 1, 2])[0, 2].tolist()
    ([0.0625, 0.00390625], [-0.125, -0.0625, -0.0])
    """

    def __init__(self, heads: int, bias_max: float = 8.0) -> None:
        if heads < 1 or not 0 < bias_max < np.inf:
            raise ValueError(
                f"positions.ALiBi: heads={heads} and bias_max={bias_max} must be positive"
            )
        power = 1 << (int(heads).bit_length() - 1)
        own, double = (2.0 ** (-bias_max * np.arange(1, n + 1) / n) for n in (power, 2 * power))
        self.slopes = np.concatenate([own, double[::2]])[:heads].astype(np.float32)

    @classmethod
    def from_config(cls, config: Any) -> ALiBi:
        """That of a config.json: of BLOOM, MPT, or Falcon with `alibi`.

        Raises
        ------
        ValueError
            If the model has no such positions.

        Examples
        --------
        >>> ALiBi.from_config({"model_type": "bloom", "n_head": 4}).slopes[0].item()
        0.25
        """
        with blamed_on(config):
            return cls._from(read_config(config))

    @classmethod
    def _from(cls, given: Mapping[str, Any]) -> ALiBi:
        kind, attention = given.get("model_type"), given.get("attn_config") or {}
        if not isinstance(attention, Mapping):
            attention = {}
        uses = (
            kind == "bloom" or attention.get("alibi") or (kind == "falcon" and given.get("alibi"))
        )
        names = ("n_head", "n_heads", "num_attention_heads")
        heads = next((given[name] for name in names if given.get(name) is not None), None)
        if not uses or not isinstance(heads, int):
            raise ValueError("positions.ALiBi: the config asks for no such positions")
        return cls(heads, float(attention.get("alibi_bias_max", 8.0)))

    def _of(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return self.slopes[:, None, None] * -np.abs(i - j).astype(np.float32)

    def of_keys(self, keys: Any) -> np.ndarray:
        """slope j, [..., heads, 1, K]: what BLOOM adds. Rows differ by a constant, so that the
        softmax of tokens that look back only is the same.

        Examples
        --------
        >>> ALiBi(1).of_keys([0, 1, 2]).tolist()
        [[[0.0, 0.00390625, 0.0078125]]]
        """
        j = _positions(keys, "positions.ALiBi", "keys").astype(np.float32)
        return self.slopes[:, None, None] * j[..., None, None, :]


class RelativeBias(Bias):
    """A trained number for each head and bucket of distances (Raffel et al., 2020: T5).

    Half of the buckets hold one distance each, the others grow with its logarithm up to
    `max_distance`. Their borders are found in integers, so no rounding moves them.

    Parameters
    ----------
    table
        float [buckets, heads], T5's `relative_attention_bias.weight`.
    bidirectional
        Keys before and behind the query have buckets of their own, as in an encoder; False: as in
        a decoder.
    max_distance
        From here on all distances share the last bucket.

    Examples
    --------
    >>> bias = RelativeBias(np.arange(8.0)[:, None])
    >>> bias([0, 1])[0].tolist()
    [[0.0, 5.0], [1.0, 0.0]]
    """

    def __init__(self, table: Any, bidirectional: bool = True, max_distance: int = 128) -> None:
        self.table = as_float32(table, "positions.RelativeBias", "table", ndim=2)
        self.bidirectional, self.max_distance = bool(bidirectional), int(max_distance)
        side = len(self.table) // (2 if bidirectional else 1)
        if side < 2 or self.max_distance <= side // 2:
            raise ValueError(
                f"positions.RelativeBias: {len(self.table)} buckets do not reach "
                f"max_distance={max_distance}"
            )
        self._side, self._borders = side, _borders(side, self.max_distance)

    @classmethod
    def from_config(cls, config: Any, table: Any, decoder: bool = False) -> RelativeBias:
        """That of a T5's config.json, with the table of its encoder or its decoder.

        Examples
        --------
        >>> RelativeBias.from_config({"relative_attention_num_buckets": 8}, np.ones((8, 2)))(
        ...     [0]
        ... ).shape
        (2, 1, 1)
        """
        with blamed_on(config):
            given = read_config(config)
            buckets = given.get("relative_attention_num_buckets", 32)
            if np.ndim(table) != 2 or len(table) != buckets:
                raise ValueError(
                    f"positions.RelativeBias: the table has shape {np.shape(table)}, the config "
                    f"says {buckets} buckets"
                )
            distance = given.get("relative_attention_max_distance", 128)
            return cls(table, bidirectional=not decoder, max_distance=distance)

    def buckets(self, queries: Any, keys: Any = None) -> np.ndarray:
        """Which row of the table each pair of positions has, int64 [..., Q, K].

        Examples
        --------
        >>> RelativeBias(np.ones((32, 1))).buckets([8], [0, 7, 9, 2000]).tolist()
        [[8, 1, 17, 31]]
        """
        i = _positions(queries, "positions.RelativeBias", "queries")
        j = i if keys is None else _positions(keys, "positions.RelativeBias", "keys")
        return self._buckets(j[..., None, :] - i[..., :, None])

    def _buckets(self, offset: np.ndarray) -> np.ndarray:
        distance = np.abs(offset) if self.bidirectional else np.maximum(-offset, 0)
        bucket = np.searchsorted(self._borders, distance, side="right")
        return bucket + np.where(self.bidirectional & (offset > 0), self._side, 0)

    def _of(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        rows = self.table[self._buckets(j - i)[..., 0, :, :]]
        return np.moveaxis(rows, -1, -3)


def _borders(buckets: int, max_distance: int) -> np.ndarray:
    """The smallest distance of every bucket but the first.

    Bucket exact + k begins at exact (max_distance / exact)^(k / wide); both sides to the power
    `wide` are integers.
    """
    exact = buckets // 2
    wide = buckets - exact
    borders = list(range(1, exact + 1))
    for k in range(1, wide):
        distance = borders[-1]
        while distance**wide * exact**k < max_distance**k * exact**wide:
            distance += 1
        borders.append(distance)
    return np.array(borders)


class KERPLE(Bias):
    """A distance that fades, with two trained numbers a head (Chi et al., 2022).

    Parameters
    ----------
    p, a
        float [heads], above 0.
    kind
        "log": -p ln(1 + a |i - j|). "power": -a |i - j|^p, with p at most 2.

    Examples
    --------
    >>> KERPLE([1.0], [1.0])([2], [0, 1, 2]).round(3).tolist()
    [[[-1.0989999771118164, -0.6930000185966492, -0.0]]]
    """

    def __init__(self, p: Any, a: Any, kind: str = "log") -> None:
        if kind not in ("log", "power"):
            raise ValueError(f'positions.KERPLE: kind={kind!r} is not known; use "log" or "power"')
        self.p, self.a = (np.asarray(v, np.float64) for v in (p, a))
        good = self.p.ndim == 1 and self.p.shape == self.a.shape and (self.p > 0).all()
        if not good or not (self.a > 0).all() or (kind == "power" and (self.p > 2).any()):
            raise ValueError(
                "positions.KERPLE: p and a must be one number above 0 for each head, p at most 2 "
                'for kind="power"'
            )
        self.kind = kind

    def _of(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        distance = np.abs(i - j).astype(np.float64)
        p, a = self.p[:, None, None], self.a[:, None, None]
        return -p * np.log1p(a * distance) if self.kind == "log" else -a * distance**p


class FIRE(Bias):
    """A small trained network of the distance relative to the query's position (Li et al., 2024).

    x = ln(c |i - j| + 1) / (ln(c max(i, threshold) + 1) + 1e-6), bias = W2 relu(W1 x + b1) + b2.
    For tokens that look back only.

    Parameters
    ----------
    w1, b1
        float [width, 1] and [width].
    w2, b2
        float [heads, width] and [heads].
    c
        Trained, too; above 0.
    threshold
        Positions before it are treated like it.

    Examples
    --------
    >>> FIRE([[1.0]], [0.0], [[-1.0]], [0.0])([10], [0, 10]).round(3).tolist()
    [[[-0.17499999701976776, 0.0]]]
    """

    def __init__(
        self, w1: Any, b1: Any, w2: Any, b2: Any, c: float = 0.1, threshold: float = 512.0
    ) -> None:
        self.w1, self.b1, self.w2, self.b2 = (np.asarray(v, np.float64) for v in (w1, b1, w2, b2))
        width, heads = self.b1.size, self.b2.size
        if self.w1.shape != (width, 1) or self.w2.shape != (heads, width):
            raise ValueError(
                f"positions.FIRE: w1 {self.w1.shape}, b1 {self.b1.shape}, w2 {self.w2.shape} and "
                f"b2 {self.b2.shape} do not fit; expected [W, 1], [W], [heads, W] and [heads]"
            )
        if not (0 < c < np.inf and 0 < threshold < np.inf):
            raise ValueError("positions.FIRE: c and threshold must be above 0")
        self.c, self.threshold = float(c), float(threshold)

    def _of(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        longest = np.log(self.c * np.maximum(i, self.threshold) + 1) + 1e-6
        x = (np.log(self.c * np.abs(i - j) + 1) / longest)[..., 0, :, :]
        hidden = np.maximum(x[..., None] * self.w1[:, 0] + self.b1, 0)
        return np.moveaxis(hidden @ self.w2.T + self.b2, -1, -3)
