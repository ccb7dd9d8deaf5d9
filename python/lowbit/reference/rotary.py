"""Positions that turn pairs of columns of queries and keys (Su et al., 2021).

Pair i of a head at position n is turned by the angle n theta_i. A score then depends on the
distance of query and key alone. Models that were made for longer texts differ in theta: one
function each, all return frequencies [pairs] in float64.
"""

from __future__ import annotations

import math

import numpy as np


def frequencies(dim: int, base: float = 10000.0) -> np.ndarray:
    """theta_i = base^(-2i / dim).

    Examples
    --------
    >>> frequencies(4).tolist()
    [1.0, 0.01]
    """
    return np.array([base ** (-2 * i / dim) for i in range(dim // 2)])


def linear(dim: int, base: float, factor: float) -> np.ndarray:
    """Positions closer together by `factor` (Chen et al., 2023).

    Examples
    --------
    >>> linear(4, 10000.0, 2.0).tolist()
    [0.5, 0.005]
    """
    return frequencies(dim, base) / factor


def dynamic(dim: int, base: float, factor: float, trained: int, length: int) -> np.ndarray:
    """A larger base for a text of `length` tokens that is longer than the `trained` ones (NTK).

    Examples
    --------
    >>> dynamic(4, 100.0, 2.0, trained=10, length=10).round(12).tolist()
    [1.0, 0.1]
    >>> dynamic(4, 100.0, 2.0, trained=10, length=20).round(12).tolist()
    [1.0, 0.033333333333]
    """
    longer = factor * max(length, trained) / trained - (factor - 1)
    return frequencies(dim, base * longer ** (dim / (dim - 2)))


def yarn(
    dim: int,
    base: float,
    factor: float,
    trained: int,
    fast: float = 32.0,
    slow: float = 1.0,
    truncate: bool = True,
) -> np.ndarray:
    """Slow pairs as `linear`, fast ones as they are, a ramp between them (Peng et al., 2023).

    The ramp goes from the pair that turns `fast` times within the trained length to the one that
    turns `slow` times, rounded outwards if `truncate`.

    Examples
    --------
    >>> yarn(8, 10000.0, 4.0, trained=512).round(6).tolist()
    [1.0, 0.0625, 0.0025, 0.00025]
    """

    def pair_of(turns: float) -> float:
        return dim * math.log(trained / (2 * math.pi * turns)) / (2 * math.log(base))

    low, high = pair_of(fast), pair_of(slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    high += 0.001 if low == high else 0
    plain = frequencies(dim, base)
    ramp = np.array([min(max((i - low) / (high - low), 0.0), 1.0) for i in range(dim // 2)])
    return plain * (1 - ramp) + plain / factor * ramp


def yarn_attention(factor: float, mscale: float = 0.0, mscale_all_dim: float = 0.0) -> float:
    """What YaRN multiplies cosines and sines by.

    Examples
    --------
    >>> round(yarn_attention(4.0), 6), yarn_attention(4.0, 1.0, 1.0)
    (1.138629, 1.0)
    """

    def of(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    return of(mscale) / of(mscale_all_dim) if mscale and mscale_all_dim else of(1.0)


def longrope(
    dim: int, base: float, short: list[float], long: list[float], trained: int, length: int
) -> np.ndarray:
    """Every pair slower by a searched factor; beyond the trained length by another one
    (Ding et al., 2024).

    Examples
    --------
    >>> [longrope(4, 100.0, [1, 1], [2, 5], 8, n).round(12).tolist() for n in (8, 9)]
    [[1.0, 0.1], [0.5, 0.02]]
    """
    factors = long if length > trained else short
    return np.array([f / e for f, e in zip(frequencies(dim, base), factors, strict=True)])


def longrope_attention(factor: float, trained: int) -> float:
    """What longrope multiplies cosines and sines by.

    Examples
    --------
    >>> round(longrope_attention(32.0, 4096), 6)
    1.190238
    """
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))


def llama3(
    dim: int, base: float, factor: float, low: float, high: float, trained: int
) -> np.ndarray:
    """Pairs that turn less than `low` times within the trained length as `linear`, those above
    `high` as they are, a blend between (Llama 3.1).

    Examples
    --------
    >>> llama3(8, 10000.0, 8.0, 1.0, 4.0, trained=2048).round(7).tolist()
    [1.0, 0.1, 0.0078402, 0.000125]
    """
    out = []
    for f in frequencies(dim, base):
        turns = trained * f / (2 * math.pi)
        blend = min(max((turns - low) / (high - low), 0.0), 1.0)
        out.append((1 - blend) * f / factor + blend * f)
    return np.array(out)


def proportional(head_dim: int, base: float, share: float, factor: float = 1.0) -> np.ndarray:
    """The fastest `share` of the pairs of the whole head; the others stand still (Gemma 4).

    Examples
    --------
    >>> proportional(8, 10000.0, 0.5).tolist()
    [1.0, 0.1, 0.0, 0.0]
    """
    turning = int(share * head_dim // 2)
    rest = [0.0] * (head_dim // 2 - turning)
    return np.array([*frequencies(head_dim, base)[:turning], *rest]) / factor


def axis_of_pairs(sections: list[int], order: str = "blocks") -> list[int]:
    """Which coordinate of a position, such as time, height or width, turns each pair.

    "blocks": as many pairs in a row for each axis (Qwen2-VL). "interleaved": axes take turns while
    they have pairs left, and the first has the rest (Qwen3-VL).

    Examples
    --------
    >>> axis_of_pairs([2, 1, 1]), axis_of_pairs([3, 2, 1], "interleaved")
    ([0, 0, 1, 2], [0, 1, 2, 0, 1, 0])
    """
    if order == "blocks":
        return [axis for axis, count in enumerate(sections) for _ in range(count)]
    out = []
    for pair in range(sum(sections)):
        turn, axis = divmod(pair, len(sections))
        out.append(axis if turn < sections[axis] else 0)
    return out


def rotate(
    x: np.ndarray, angles: np.ndarray, layout: str = "half", factor: float = 1.0
) -> np.ndarray:
    """Every pair (a, b) to factor (a cos - b sin, b cos + a sin).

    Parameters
    ----------
    x
        Floats [..., head_dim]. Columns beyond twice the pairs stay as they are.
    angles
        Radians [..., pairs]: positions times frequencies.
    layout
        "half": pair i is columns i and pairs + i. "interleaved": columns 2i and 2i + 1.

    Returns
    -------
    numpy.ndarray
        [..., head_dim].

    Examples
    --------
    >>> rotate(np.array([1.0, 2.0, 0.0, 0.0]), np.array([np.pi / 2, 0.0])).round(3).tolist()
    [0.0, 2.0, 1.0, 0.0]
    """
    out = np.array(x, np.result_type(x, angles))
    pairs = angles.shape[-1]
    for i in range(pairs):
        first, second = (i, pairs + i) if layout == "half" else (2 * i, 2 * i + 1)
        a, b = np.array(out[..., first]), np.array(out[..., second])
        cos, sin = factor * np.cos(angles[..., i]), factor * np.sin(angles[..., i])
        out[..., first], out[..., second] = a * cos - b * sin, b * cos + a * sin
    return out


def xpos_scale(positions: np.ndarray, dim: int, scale_base: float = 512.0) -> np.ndarray:
    """What xPos multiplies a query's pairs by, and divides a key's by (Sun et al., 2023).

    zeta_i^(n / scale_base) with zeta_i = (2i / dim + 0.4) / 1.4, so a score fades with distance.

    Examples
    --------
    >>> xpos_scale(np.array([0, 512]), 4).round(4).tolist()
    [[1.0, 1.0], [0.2857, 0.6429]]
    """
    zeta = np.array([(2 * i / dim + 0.4) / 1.4 for i in range(dim // 2)])
    return zeta ** (np.asarray(positions, np.float64)[..., None] / scale_base)
