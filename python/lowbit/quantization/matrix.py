"""A weight matrix stored as int8, int4 or nf4 codes with a scale per group."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32
from lowbit.quantization.packing import (
    BITS,
    pack_codes,
    pack_scales,
    unpack_codes,
    unpack_scales,
)
from lowbit.quantization.report import ErrorReport, compare

SCALE_BLOCK = 256
"""Scales, in row-major order, that share a scale of their own under double quantization."""


def packed_formats() -> list[str]:
    """Names of the formats `quantize` knows, from the compiled list.

    Examples
    --------
    >>> packed_formats()
    ['int8', 'int4', 'nf4']
    """
    return [entry["name"] for entry in _core.formats() if entry["packed"]]


class QuantizedMatrix:
    """A matrix W [rows, cols] in a packed low-bit format; made by `quantize`.

    The packed bytes do not depend on the machine: they can be pickled, saved and shared.
    """

    __slots__ = ("_packed",)

    def __init__(self, packed: _core.PackedMatrix) -> None:
        self._packed = packed

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the matrix it stands for."""
        return self._packed.shape

    @property
    def format(self) -> str:
        """Name of the format: "int8", "int4" or "nf4"."""
        return self._packed.format

    @property
    def group_size(self) -> int:
        """Columns that share one scale; the number of columns when a row has one scale."""
        return self._packed.group_size

    @property
    def double_quant(self) -> bool:
        """Whether the scales themselves are stored in 8 bits."""
        return self._packed.double_quant

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales, with the padding to blocks of 16 rows."""
        return self._packed.nbytes

    @property
    def bits_per_weight(self) -> float:
        """Bits stored for each weight, scales included; 0 where there are none."""
        return 8 * self.nbytes / max(1, self.shape[0] * self.shape[1])

    def dequantize(self) -> np.ndarray:
        """The matrix as float32 [rows, cols]: what every product with it computes with."""
        return _core.dequantize(self._packed)

    def error(self, w: Any) -> ErrorReport:
        """How far this is from the matrix `w` [rows, cols] that it was made of.

        Raises
        ------
        ValueError
            If `w` has another shape.

        Examples
        --------
        >>> w = np.random.default_rng(0).standard_normal((64, 256))
        >>> report = quantize(w, "int8", None).error(w)
        >>> round(report.rmse, 3), report.cosine > 0.9999, round(report.snr)
        (0.007, True, 43)
        """
        exact = as_float32(w, "error", "w", ndim=2)
        if exact.shape != self.shape:
            raise ValueError(f"error: w has shape {exact.shape}, the matrix {self.shape}")
        return compare(self.dequantize(), exact)

    def codes(self) -> np.ndarray:
        """The stored codes [rows, cols], a copy: int8 for "int8", else uint8 in 0..15.

        What a code means is written in `lowbit.reference.quantization`.

        Examples
        --------
        >>> quantize([[0.5, -1.0, 0.25, 0.0]], "int4", None).codes()
        array([[12,  0, 10,  8]], dtype=uint8)
        """
        parts = self.parts()
        return unpack_codes(self.format, parts["lines"], *self.shape)

    def scales(self) -> np.ndarray:
        """The scale of each group, float32 [rows, groups], a copy.

        Double quantization is undone, with the same two roundings as in every product, so these are
        the factors that `dequantize` multiplies with.

        Examples
        --------
        >>> quantize([[0.5, -1.0, 0.25, 0.0]], "int4", None).scales()
        array([[0.125]], dtype=float32)
        """
        parts = self.parts()
        rows, groups = self.shape[0], -(-self.shape[1] // max(1, self.group_size))
        if not self.double_quant:
            return unpack_scales(parts["scales"], rows, groups)
        codes = unpack_scales(parts["scale_codes"], rows, groups)
        blocks = np.arange(rows * groups).reshape(rows, groups) // SCALE_BLOCK
        levels = _core.dynamic_map()[codes]
        return levels * parts["scale_scales"][blocks] + np.float32(parts["scale_offset"])

    @classmethod
    def from_codes(
        cls, format: str, codes: Any, scales: Any, group_size: int | None
    ) -> QuantizedMatrix:
        """The matrix of these codes and scales, packed without rounding anything.

        Parameters
        ----------
        format
            "int8", "int4" or "nf4"; values are code * scale, (code - 8) * scale, NF4[code] * scale.
        codes
            Integers [rows, cols]: -127..127 for "int8", 0..15 for the others.
        scales
            Finite floats [rows, ceil(cols / group_size)] that float32 holds.
        group_size
            Columns that share a scale: a power of two from 16, or None for one scale a row.

        Returns
        -------
        QuantizedMatrix

        Raises
        ------
        TypeError
            If codes are no integers or scales no numbers.
        ValueError
            If a shape, the format or the group size does not fit, a code is out of range (-128 is
            for "int8"), or a scale is NaN or infinite.

        Examples
        --------
        >>> q = QuantizedMatrix.from_codes("int4", [[12, 0, 10, 8]], [[0.125]], None)
        >>> q.dequantize().tolist()
        [[0.5, -1.0, 0.25, 0.0]]
        """
        if format not in BITS:
            known = ", ".join(f'"{name}"' for name in packed_formats())
            raise ValueError(f'from_codes: format="{format}" is not known; use {known}')
        stored = _checked_codes(format, np.asarray(codes))
        size = 0 if group_size is None else int(group_size)
        if group_size is not None and size < 1:
            raise ValueError(f"from_codes: group_size={size} is not a size; use None for one a row")
        width = min(size or stored.shape[1], stored.shape[1])
        groups = -(-stored.shape[1] // width) if width else 0
        parts = {"rows": stored.shape[0], "cols": stored.shape[1], "group_size": size}
        parts |= {"format": format, "double_quant": False, "lines": pack_codes(format, stored)}
        checked = _checked_scales(scales, (stored.shape[0], groups))
        return cls.from_parts(parts | {"scales": pack_scales(checked)})

    def parts(self) -> dict[str, Any]:
        """Codes, scales and sizes as plain values and arrays, for saving."""
        return self._packed.parts()

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> QuantizedMatrix:
        """The matrix that `parts` describes; sizes are checked.

        Raises
        ------
        ValueError
            If an array does not have the size that shape and format ask for.
        """
        return cls(_core.PackedMatrix.from_parts(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantizedMatrix.from_parts, (self.parts(),)

    def __repr__(self) -> str:
        rows, cols = self.shape
        double = ", double_quant" if self.double_quant else ""
        return (
            f"QuantizedMatrix({rows}x{cols}, {self.format}, group_size={self.group_size}{double}, "
            f"{self.nbytes / 1e6:.2f} MB, {self.bits_per_weight:.2f} bits/weight)"
        )


def _checked_codes(format: str, codes: np.ndarray) -> np.ndarray:
    """Codes as the one byte each that they are stored in."""
    if codes.dtype.kind not in "iu":
        raise TypeError(f"from_codes: codes have dtype {codes.dtype}; pass integers")
    if codes.ndim != 2:
        raise ValueError(f"from_codes: codes have shape {codes.shape}; expected 2 dimensions")
    low, high = (-127, 127) if format == "int8" else (0, 15)
    if codes.size and (codes.min() < low or codes.max() > high):
        row, col = np.argwhere((codes < low) | (codes > high))[0].tolist()
        raise ValueError(
            f'from_codes: codes[{row}, {col}] is {codes[row, col]}; "{format}" has {low}..{high}'
        )
    return codes.astype(np.int8 if format == "int8" else np.uint8, copy=False)


def _checked_scales(scales: Any, shape: tuple[int, int]) -> np.ndarray:
    with np.errstate(over="ignore"):
        array = as_float32(scales, "from_codes", "scales", ndim=2)
    if array.shape != shape:
        raise ValueError(
            f"from_codes: scales have shape {array.shape}; expected [rows, groups] = {shape}"
        )
    if not np.isfinite(array).all():
        row, group = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(f"from_codes: scales[{row}, {group}] is {array[row, group]}; not finite")
    return array


def quantize(
    w: Any, format: str = "nf4", group_size: int | None = 64, double_quant: bool = False
) -> QuantizedMatrix:
    """Round a weight matrix to a packed low-bit format.

    Parameters
    ----------
    w
        Weights [rows, cols], any float dtype; every value finite.
    format
        "int8" (code * absmax/127), "int4" (16 even steps, the extreme of each group exact) or
        "nf4" (the 16 levels of QLoRA, Dettmers et al. 2023).
    group_size
        Columns that share a scale: a power of two from 16, or None for one scale a row.
    double_quant
        Store the scales in 8 bits too (QLoRA, section 3): 4.13 instead of 4.5 bits a weight for
        groups of 64.

    Returns
    -------
    QuantizedMatrix

    Raises
    ------
    ValueError
        For an unknown format, a group size that is no power of two, NaN or infinity in `w`.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    >>> q = quantize(w, "nf4", group_size=64)
    >>> q
    QuantizedMatrix(64x256, nf4, group_size=64, 0.01 MB, 4.50 bits/weight)
    >>> float(np.sqrt(np.mean((q.dequantize() - w) ** 2))) < 0.1
    True
    """
    array = as_float32(w, "quantize", "w", ndim=2)
    size = 0 if group_size is None else int(group_size)
    if group_size is not None and size == 0:
        raise ValueError("quantize: group_size=0 is not a size; use None for one scale a row")
    return QuantizedMatrix(_core.PackedMatrix.quantize(array, format, size, bool(double_quant)))
