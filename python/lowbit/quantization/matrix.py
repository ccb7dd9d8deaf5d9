"""A weight matrix stored as codes of 4 or 8 bits with a scale per group."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32
from lowbit.quantization.checks import (
    checked_codes,
    checked_scale_dtype,
    checked_scales,
    checked_zero_points,
    group_argument,
    one_for_all,
)
from lowbit.quantization.packing import (
    BITS,
    BLOCK_ROWS,
    LEAST_CODE,
    ZERO_OF_ZERO,
    pack_codes,
    pack_scales,
    padding_codes,
    scales_as_floats,
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
    ['int8', 'int4', 'nf4', 'fp4', 'mxfp4']
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
        """Name of the format: one of `packed_formats()`."""
        return self._packed.format

    @property
    def group_size(self) -> int:
        """Columns that share one scale; the number of columns when a row has one scale."""
        return self._packed.group_size

    @property
    def per_tensor(self) -> bool:
        """Whether all rows share one scale; `group_size` is the number of columns then."""
        return self._packed.per_tensor

    @property
    def symmetric(self) -> bool:
        """Whether there are no zero points."""
        return self._packed.symmetric

    @property
    def double_quant(self) -> bool:
        """Whether the scales themselves are stored in 8 bits, as bitsandbytes does."""
        return self._packed.double_quant

    @property
    def scale_dtype(self) -> str:
        """How scales are stored: "fp32", "fp16", "bf16"; "e8m0", powers of two in a byte, as mxfp4
        has them; "dynamic8" under double quantization."""
        return self._packed.scale_dtype

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zero points, with the padding to blocks of 16 rows."""
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
        rows, groups = self._groups()
        if not self.double_quant:
            stored = self._of_every_row(parts["scales"])
            return scales_as_floats(stored, self.scale_dtype)
        codes = unpack_scales(parts["scale_codes"], rows, groups)
        blocks = np.arange(rows * groups).reshape(rows, groups) // SCALE_BLOCK
        levels = _core.dynamic_map()[codes]
        return levels * parts["scale_scales"][blocks] + np.float32(parts["scale_offset"])

    def zero_points(self) -> np.ndarray | None:
        """The code that stands for zero in each group [rows, groups], a copy; None if symmetric.

        int8 for "int8", uint8 for "int4": value = (code - zero point) * scale.

        Examples
        --------
        >>> q = quantize([[0.0, 1.0, 2.0, 3.0]], "int4", None, symmetric=False)
        >>> q.zero_points().tolist(), q.codes().tolist(), round(float(q.scales()[0, 0]), 3)
        ([[0]], [[0, 5, 10, 15]], 0.2)
        """
        if self.symmetric:
            return None
        stored = self._of_every_row(self.parts()["zero_points"])
        dtype = np.int8 if self.format == "int8" else np.uint8
        return (stored + np.int8(ZERO_OF_ZERO[self.format])).astype(dtype)

    def _groups(self) -> tuple[int, int]:
        return self.shape[0], -(-self.shape[1] // max(1, self.group_size))

    def _of_every_row(self, packed: np.ndarray) -> np.ndarray:
        """Scales or zero points out of parts [rows, groups]."""
        rows, groups = self._groups()
        if self.per_tensor and groups:
            return np.tile(packed[:1], (rows, 1))
        return unpack_scales(packed, rows, groups)

    @classmethod
    def from_codes(
        cls,
        format: str,
        codes: Any,
        scales: Any,
        group_size: int | str | None,
        zero_points: Any = None,
        scale_dtype: str | None = None,
    ) -> QuantizedMatrix:
        """The matrix of these codes and scales, packed without rounding anything.

        Parameters
        ----------
        format
            One of `packed_formats()`; what codes stand for is written in
            `lowbit.reference.quantization`.
        codes
            Integers [rows, cols]: -127..127 for "int8", 0..15 for the others.
        scales
            Finite floats [rows, ceil(cols / group_size)] that `scale_dtype` holds.
        group_size
            Columns that share a scale: a power of two from 16; None for one scale a row; "tensor"
            for one alone, [1, 1] or the same for every row.
        zero_points
            Codes of the shape of scales, for "int8" (whose codes are -128..127 then) and "int4";
            None for a symmetric matrix.
        scale_dtype
            "fp32", "fp16" or "bf16"; "e8m0" for mxfp4; None for "fp32", or what the format has.

        Returns
        -------
        QuantizedMatrix

        Raises
        ------
        TypeError
            If codes or zero points are no integers or scales no numbers.
        ValueError
            If a shape, the format or the group size does not fit, a code or zero point is out of
            range, or a scale is NaN, infinite or not a number of `scale_dtype`.

        Examples
        --------
        >>> q = QuantizedMatrix.from_codes("int4", [[12, 0, 10, 8]], [[0.125]], None)
        >>> q.dequantize().tolist()
        [[0.5, -1.0, 0.25, 0.0]]
        >>> q = QuantizedMatrix.from_codes("int4", [[12, 0, 10, 8]], [[0.125]], None, [[10]])
        >>> q.dequantize().tolist()
        [[0.25, -1.25, 0.0, -0.25]]
        """
        if format not in BITS:
            known = ", ".join(f'"{name}"' for name in packed_formats())
            raise ValueError(f'from_codes: format="{format}" is not known; use {known}')
        stored = checked_codes(format, np.asarray(codes), zero_points is None)
        size, (rows, cols) = group_argument(group_size, "from_codes"), stored.shape
        dtype = checked_scale_dtype(format, scale_dtype, "from_codes")
        width = cols if size < 1 else min(size, cols)
        shape = (rows, -(-cols // width) if width else 0)

        def packed(values: np.ndarray, beyond: int = 0) -> np.ndarray:
            alone = size < 0 and values.size
            return np.tile(values[0], BLOCK_ROWS) if alone else pack_scales(values, beyond)

        if size < 0 and all(shape):
            scales = one_for_all(scales, shape, "scales")
            if zero_points is not None:
                zero_points = one_for_all(zero_points, shape, "zero_points")
            shape = (1, 1)
        parts = {"rows": rows, "cols": cols, "group_size": size, "format": format}
        parts |= {"double_quant": False, "scale_dtype": dtype}
        parts["scales"] = packed(checked_scales(scales, shape, dtype))
        padding = None
        if zero_points is not None:
            zeros = checked_zero_points(zero_points, shape, format, "from_codes")
            middle, least = ZERO_OF_ZERO[format], LEAST_CODE[format]
            parts["zero_points"] = packed((zeros - middle).astype(np.int8), least - middle)
            padding = padding_codes(format, zeros, rows, per_tensor=size < 0)
        return cls.from_parts(parts | {"lines": pack_codes(format, stored, padding)})

    def with_codes(self, codes: np.ndarray) -> QuantizedMatrix:
        """The same scales and zero points with other codes, bytes [rows, cols] in their range.

        Examples
        --------
        >>> q = quantize([[1.0, 0.5, -1.0]], "int8", None)
        >>> q.with_codes(q.codes() // 2).dequantize().round(2).tolist()
        [[0.5, 0.25, -0.5]]
        """
        zeros, padding = self.zero_points(), None
        if zeros is not None:
            padding = padding_codes(self.format, zeros, len(zeros), self.per_tensor)
        lines = pack_codes(self.format, codes, padding)
        return QuantizedMatrix.from_parts(self.parts() | {"lines": lines})

    def requantize(self, w: Any) -> QuantizedMatrix:
        """Round `w` [rows, cols] to what this matrix is stored in: format, groups, scales.

        Examples
        --------
        >>> q = quantize(np.eye(32), "int4", 32, scale_dtype="fp16", symmetric=False)
        >>> q.requantize(2 * np.eye(32)).scale_dtype
        'fp16'
        """
        group: int | str | None = self.group_size
        if self.group_size == self.shape[1]:
            group = "tensor" if self.per_tensor else None
        dtype = None if self.double_quant else self.scale_dtype
        return quantize(w, self.format, group, self.double_quant, dtype, self.symmetric)

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
        group = '"tensor"' if self.per_tensor else self.group_size
        more = ", double_quant" if self.double_quant else ""
        if self.scale_dtype in ("fp16", "bf16"):
            more += f", {self.scale_dtype} scales"
        if not self.symmetric:
            more += ", asymmetric"
        return (
            f"QuantizedMatrix({rows}x{cols}, {self.format}, group_size={group}{more}, "
            f"{self.nbytes / 1e6:.2f} MB, {self.bits_per_weight:.2f} bits/weight)"
        )


def quantize(
    w: Any,
    format: str = "nf4",
    group_size: int | str | None = 64,
    double_quant: bool = False,
    scale_dtype: str | None = None,
    symmetric: bool = True,
) -> QuantizedMatrix:
    """Round a weight matrix to a packed low-bit format.

    Parameters
    ----------
    w
        Weights [rows, cols], any float dtype; every value finite.
    format
        "int8" (code * absmax/127), "int4" (16 even steps, the extreme of each group exact), "nf4"
        (the 16 levels of QLoRA, Dettmers et al. 2023), "fp4" (those of bitsandbytes' fp4) or
        "mxfp4" (E2M1 numbers times a power of two, of the OCP Microscaling formats 1.0, 2023).
    group_size
        Columns that share a scale: a power of two from 16 (the standard of mxfp4 is 32); None for
        one scale a row; "tensor" for one alone.
    double_quant
        Store the scales in 8 bits too (QLoRA, section 3): 4.13 instead of 4.5 bits a weight for
        groups of 64. Those of mxfp4 have 8 bits in any case.
    scale_dtype
        "fp32"; "fp16" or "bf16", to which scales are rounded before codes are chosen. None: "fp32",
        and "e8m0" for mxfp4.
    symmetric
        False for "int8" or "int4": every group has a zero point, and its range from the least to
        the largest value, widened to zero, is cut into 255 or 15 steps. Better for groups whose
        values lie mostly on one side; it takes a byte a group.

    Returns
    -------
    QuantizedMatrix

    Raises
    ------
    ValueError
        For an unknown format, a group size that is no power of two, NaN or infinity in `w`, a scale
        beyond `scale_dtype`, or options that do not go together.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    >>> q = quantize(w, "nf4", group_size=64)
    >>> q
    QuantizedMatrix(64x256, nf4, group_size=64, 0.01 MB, 4.50 bits/weight)
    >>> float(np.sqrt(np.mean((q.dequantize() - w) ** 2))) < 0.1
    True
    >>> quantize(w, "int4", 32, scale_dtype="fp16", symmetric=False)
    QuantizedMatrix(64x256, int4, group_size=32, fp16 scales, asymmetric, 0.01 MB, 4.75 bits/weight)
    """
    array = as_float32(w, "quantize", "w", ndim=2)
    size = group_argument(group_size, "quantize")
    return QuantizedMatrix(
        _core.PackedMatrix.quantize(
            array, format, size, bool(double_quant), scale_dtype or "", bool(symmetric)
        )
    )
