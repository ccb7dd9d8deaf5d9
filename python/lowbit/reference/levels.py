"""The formats of 16 levels: tables by code, and how a value finds the nearest.

nf4 has the quantiles of a normal distribution (Dettmers et al., "QLoRA", 2023), fp4 the numbers of
bitsandbytes' data type of that name, mxfp4 those of E2M1 (OCP Microscaling formats 1.0, 2023).
"""

from __future__ import annotations

import numpy as np

NF4 = np.array(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022833334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ]
)
FP4 = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3]) / 12
MXFP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
LEVELS = {"nf4": NF4, "fp4": FP4, "mxfp4": MXFP4}
INTEGER_UNITS = {"nf4": 1 / 127, "fp4": 1 / 96, "mxfp4": 1 / 2}
"""What levels are counted in where they are taken in 8 bits."""


def integer_levels(format: str) -> np.ndarray:
    """Levels by code, in 8 bits: int64, to be multiplied with the format's unit.

    Examples
    --------
    >>> integer_levels("mxfp4")[:8].tolist()
    [0, 1, 2, 3, 4, 6, 8, 12]
    """
    counted = LEVELS[format] / INTEGER_UNITS[format]
    return (np.sign(counted) * np.floor(np.abs(counted) + 0.5)).astype(np.int64)


def nearest_codes(format: str, values: np.ndarray) -> np.ndarray:
    """The code of the level nearest to each value, which is a value over its scale.

    Half-way between two levels it is the lower one; of mxfp4, as in ggml, the one nearer to zero.
    fp4 has two codes of zero: the second is for values above zero, as bitsandbytes has it.

    Returns
    -------
    numpy.ndarray
        uint8, of the shape of the values.

    Examples
    --------
    >>> nearest_codes("mxfp4", np.array([-9.0, -0.25, 0.2, 5.0, 5.1])).tolist()
    [15, 0, 0, 6, 7]
    >>> nearest_codes("fp4", np.array([-1.0, -0.001, 0.0, 0.001, 0.2])).tolist()
    [11, 0, 0, 8, 6]
    """
    levels = LEVELS[format].astype(values.dtype)
    if format == "mxfp4":
        sizes = nearest_index(levels[:8], np.abs(values))
        return np.where((values < 0) & (sizes > 0), sizes + 8, sizes).astype(np.uint8)
    order = np.argsort(levels, kind="stable")
    return order[nearest_index(levels[order], values)].astype(np.uint8)


def nearest_index(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of the level nearest to each value; half-way between two, the lower.

    Parameters
    ----------
    levels
        Floats [L], ascending.
    values
        Floats [...].

    Examples
    --------
    >>> nearest_index(np.array([0.0, 1.0, 2.0]), np.array([0.4, 0.5, 0.6, 9.0])).tolist()
    [0, 0, 1, 2]
    """
    middles = (levels[:-1] + levels[1:]) * levels.dtype.type(0.5)
    return np.searchsorted(middles, values, side="left")
