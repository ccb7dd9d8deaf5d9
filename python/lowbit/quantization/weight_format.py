"""How one weight is stored: what models, methods and files all say it in."""

from __future__ import annotations

from typing import NamedTuple

from lowbit.quantization.matrix import packed_formats


class WeightFormat(NamedTuple):
    """The format of one weight.

    Attributes
    ----------
    format
        "fp32", "bf16", "fp16", or a packed one.
    group_size, double_quant, scale_dtype, symmetric
        As in `lowbit.quantize`; tables have their own, and dense formats none.

    Examples
    --------
    >>> str(WeightFormat("nf4", 64, True)), str(WeightFormat("int8")), WeightFormat("fp16").packed
    ('nf4 g64 double', 'int8', False)
    >>> print(WeightFormat("int4", 32, False, "fp16", False))
    int4 g32 fp16 scales asymmetric
    """

    format: str
    group_size: int | str | None = None
    double_quant: bool = False
    scale_dtype: str | None = None
    symmetric: bool = True

    def __str__(self) -> str:
        size = self.group_size
        words = [
            self.format,
            size if isinstance(size, str) else f"g{size}" if size else "",
            "double" * self.double_quant,
            f"{self.scale_dtype} scales" if self.scale_dtype else "",
            "" if self.symmetric else "asymmetric",
        ]
        return " ".join(word for word in words if word)

    @property
    def packed(self) -> bool:
        """Whether weights are codes with scales."""
        return self.format in packed_formats()
