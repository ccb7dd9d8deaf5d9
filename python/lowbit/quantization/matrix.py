"""A weight matrix stored as int8, int4 or nf4 codes with a scale per group."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32


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
