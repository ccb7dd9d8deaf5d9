"""Weights that are trained while they are rounded: quantization-aware training.

The optimizer moves float weights; every forward pass rounds them and multiplies with the packed
matrix, the one that is kept after training. Backward, rounding is taken for the identity where
nothing was cut off (the straight-through estimator, Bengio et al. 2013).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbit.quantization.matrix import QuantizedMatrix, packed_formats, quantize
from lowbit.quantization.packing import BITS
from lowbit.quantization.search import least_error_scales, quantize_to, search_scales

FEWER_BITS_RATIOS = np.linspace(0.4, 1.1, 15)
"""Scales tried for fewer codes, as parts of the one that stores the extreme."""


@dataclass(frozen=True)
class QatConfig:
    """How weights are rounded while they are trained.

    Attributes
    ----------
    format
        A packed format, as in `lowbit.quantize`; or "fp32": train without rounding.
    group_size, double_quant
        As in `lowbit.quantize`.
    learned_step
        False: the scale of a group follows its weights, as `quantize` chooses it. True: it begins
        where the squared error is least and is trained too (learned step size quantization, Esser
        et al. 2020), as the logarithm of its ratio to the first, so that it keeps its sign and a
        step of the optimizer changes it by a part of itself.
    bits
        2 or 3, with "int4" alone: use only the middle 4 or 8 of its 16 codes. The matrix is stored
        in four bits still; this shows what fewer would cost.
    compute
        Products of the trained layers, as in `lowbit.linear`.
    scale_dtype
        As in `lowbit.quantize`; learned steps are rounded to it in every pass.

    Raises
    ------
    ValueError
        For an unknown format, or settings that do not go together.

    Examples
    --------
    >>> QatConfig("int4", bits=3).levels.tolist()
    [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    """

    format: str = "int4"
    group_size: int | None = 32
    double_quant: bool = False
    learned_step: bool = False
    bits: int | None = None
    compute: str = "auto"
    scale_dtype: str | None = None

    def __post_init__(self) -> None:
        known = ["fp32", *packed_formats()]
        if self.format not in known:
            raise ValueError(f'QatConfig: format="{self.format}" is not known; use one of {known}')
        if self.bits is not None and (self.format != "int4" or self.bits not in (2, 3)):
            raise ValueError(
                f'QatConfig: bits={self.bits} with format="{self.format}"; bits is 2 or 3, for '
                'fewer codes of "int4", or None'
            )
        if self.learned_step and self.format == "fp32":
            raise ValueError('QatConfig: learned_step with format="fp32", which has no steps')

    @property
    def levels(self) -> np.ndarray:
        """What codes stand for before their scale: float32, ascending; none for "fp32"."""
        if self.format == "fp32":
            return np.empty(0, np.float32)
        levels = _levels_of(self.format)
        if self.bits is None:
            return levels
        half = 2 ** (self.bits - 1)
        return levels[(levels >= -half) & (levels < half)]


@functools.cache
def _levels_of(format: str) -> np.ndarray:
    codes = np.arange(-127, 128) if BITS[format] == 8 else np.arange(2 ** BITS[format])
    unscaled = QuantizedMatrix.from_codes(format, codes[None], [[1.0]], None)
    return np.unique(unscaled.dequantize())


class WeightRounding:
    """Rounds one float weight [N, K] in a forward pass, and passes its gradient back.

    Parameters
    ----------
    config
        How.
    w
        The weight before training; learned steps begin at the best scales for it.

    Attributes
    ----------
    first_scales
        float32 [N, groups], the scales at which learned steps begin; else None.

    Examples
    --------
    >>> w = np.array([[-0.8, 0.32, 0.11, 0.79]], np.float32)
    >>> rounding = WeightRounding(QatConfig("int4", None), w)
    >>> rounded = rounding.forward(w)
    >>> rounded.dequantize().astype(float).round(2).tolist()  # 0.79 / 0.1: 8, and 7 is the last
    [[-0.8, 0.3, 0.1, 0.7]]
    >>> rounding.backward(np.ones((1, 4), np.float32), w, rounded)[0].tolist()
    [[1.0, 1.0, 1.0, 0.0]]
    """

    def __init__(self, config: QatConfig, w: np.ndarray) -> None:
        self.config = config
        self._levels = config.levels
        self.first_scales = self._least_error_scales(w) if config.learned_step else None

    def forward(
        self, w: np.ndarray, log_step: np.ndarray | None = None
    ) -> QuantizedMatrix | np.ndarray:
        """The rounded weight; `w` itself for "fp32".

        Parameters
        ----------
        w
            float32 [N, K].
        log_step
            float32 [N, groups], with learned steps: scales are first_scales * exp(log_step).
        """
        config = self.config
        if not len(self._levels):
            return w
        if log_step is not None:
            return self._round_to(w, self.first_scales * np.exp(log_step))
        if config.bits is None:
            stored = config.group_size, config.double_quant, config.scale_dtype
            return quantize(w, config.format, *stored)
        return self._round_to(w, self._extreme_scales(w))

    def backward(
        self, dw: np.ndarray, w: np.ndarray, rounded: Any, log_step: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradients of the float weight and of log_step from that of the rounded weight.

        With v = w / scale, weights are inside where v rounds to one of the levels, if these went on
        beyond their ends with the same gaps. The weight's gradient is dw inside, else zero; that of
        log_step is the sum over the group of dw * scale times

        - level - v, inside
        - the last level on this side, else

        which is the gradient of the scale of Esser et al., times the scale.

        Parameters
        ----------
        dw
            float32 [N, K], the gradient of the rounded weight.
        w, log_step
            What `forward` was given.
        rounded
            What it returned.

        Returns
        -------
        tuple
            float32 [N, K], and float32 [N, groups] or None.
        """
        if not len(self._levels):
            return dw, None
        size = rounded.group_size
        scales = np.repeat(rounded.scales(), size, axis=1)[:, : w.shape[1]]
        inside = self._inside(w, scales)
        if log_step is None:
            return dw * inside, None
        change = rounded.dequantize() - w * inside
        steps = np.add.reduceat(dw * change, np.arange(0, w.shape[1], size), axis=1)
        return dw * inside, steps

    def _inside(self, w: np.ndarray, scales: np.ndarray) -> np.ndarray:
        levels = self._levels
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            v = w * (np.float32(1) / scales)
        first, last = levels[[0, -1]]
        if (levels == np.rint(levels)).all():
            np.rint(v, out=v)  # ties to even, as torch
        else:
            first, last = (3 * levels[[0, -1]] - levels[[1, -2]]) / 2
        # A group of zeros has scale 0 and v that are NaN: nothing in it is cut off.
        return ~((v < first) | (v > last))

    def _extreme_scales(self, w: np.ndarray) -> np.ndarray:
        """Scales that store the extreme of each group in the first of the fewer codes."""
        plain = quantize(w, "int4", self.config.group_size)
        return plain.scales() * np.float32(2 ** (4 - (self.config.bits or 4)))

    def _least_error_scales(self, w: np.ndarray) -> np.ndarray:
        config = self.config
        if config.bits is None:
            return search_scales(w, config.format, config.group_size)
        first = self._extreme_scales(w)
        tried = (np.float32(sign * r) * first for r in FEWER_BITS_RATIOS for sign in (1, -1))
        return least_error_scales(w, first, tried, self._round_to)

    def _round_to(self, w: np.ndarray, scales: np.ndarray) -> QuantizedMatrix:
        config = self.config
        if config.bits is not None:
            wide = np.repeat(scales, config.group_size or w.shape[1], axis=1)[:, : w.shape[1]]
            ends = [end * wide for end in self._levels[[0, -1]]]
            w = np.clip(w, np.minimum(*ends), np.maximum(*ends))
        stored = config.group_size, config.double_quant, config.scale_dtype
        return quantize_to(w, scales, config.format, *stored)
