"""y = x W^T + b + scale (x A^T) B^T for W in any format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32, as_rows
from lowbit.quantization.affine import AffineParams
from lowbit.quantization.matrix import QuantizedMatrix

if TYPE_CHECKING:
    from lowbit.adapters.batch import LoraBatch


def kernel_weight(weight: Any, function: str) -> Any:
    """A weight as the kernels take it: packed codes, or rows of float32, float16 or uint16."""
    if isinstance(weight, QuantizedMatrix):
        return weight._packed
    array = np.asarray(weight)
    if array.dtype.itemsize == 2:
        if array.dtype == np.uint16 or array.dtype.name == "bfloat16":
            return np.ascontiguousarray(array).view(np.uint16)
        if array.dtype == np.float16:
            return np.ascontiguousarray(array)
    return as_float32(array, function, "weight", ndim=2)


def kernel_scale(x_scale: str | AffineParams, function: str) -> str | tuple[float, int, int, int]:
    """How the kernels are to round x: a name, or scale, zero point, first and last code."""
    if isinstance(x_scale, str):
        return x_scale
    if not isinstance(x_scale, AffineParams):
        raise TypeError(f'{function}: x_scale is {x_scale!r}; use "block", "row" or AffineParams')
    if x_scale.scale.ndim:
        raise ValueError(
            f"{function}: x_scale has {x_scale.scale.size} scales along an axis; all of x needs one"
        )
    return float(x_scale.scale), int(x_scale.zero_point), x_scale.low, x_scale.high


def linear(
    x: Any,
    weight: Any,
    bias: Any = None,
    lora: tuple[Any, Any, float] | LoraBatch | None = None,
    compute: str = "auto",
    x_scale: str | AffineParams = "block",
) -> np.ndarray:
    """Multiply rows of `x` by a weight matrix of any format, with an adapter in the same pass.

    Parameters
    ----------
    x
        Inputs [..., K]. float16 and bfloat16 (of ml_dtypes) are computed with in float32, and the
        result is rounded back. Rows of float32 that lie apart are read where they are.
    weight
        W [N, K]: a `QuantizedMatrix`; an array of float32, float16 or bfloat16, the last of
        ml_dtypes or as uint16; other numbers become float32.
    bias
        [N], or None.
    lora
        (A [r, K], B [N, r], scale) in PEFT's orientation; a `LoraBatch` when rows belong to
        different adapters; or None.
    compute
        "fp32": products and sums in float32 with the exact stored weights. "int16": both sides of
        each product as 16-bit integers with scales of their own for every row and 384 columns;
        results are off by about 2**-12 of their usual size. "int8": x as 8-bit integers, times a
        packed weight's codes; the fastest, results are off by about 1 % of their usual size;
        gradients take "int16". "bf16": both sides rounded to
        bfloat16, results are off by about 2**-8; needs a processor with bf16 tiles. "auto": with 32
        rows and more, "bf16" where such tiles exist, else "int16" where the processor is faster at
        it and the weight is not float32; "fp32" otherwise.
    x_scale
        How "int8" rounds x. "block": the largest value of every 128 to 256 columns of a row is 127;
        "row": that of the row. Or `AffineParams` for all of x, which an observer has chosen
        beforehand: scalars, with 255 codes at most (`narrow_range`). The result is then that of
        `fake_quantize(x, x_scale)`, with exact sums over 1,024 columns. Infinite values make their
        row NaN, but are cut off by params; NaN always makes its row NaN.

    Returns
    -------
    numpy.ndarray
        [..., N]: float16 or bfloat16 when x is, else float32.

    Raises
    ------
    ValueError
        If shapes do not agree, or this machine cannot compute in the way asked for; if `x_scale`
        does not fit int8 products.

    Examples
    --------
    >>> import numpy as np, lowbit as lb
    >>> w = np.eye(32, dtype=np.float32)
    >>> y = linear(np.ones((2, 32)), lb.quantize(w, "nf4", group_size=32))
    >>> y.shape, float(y[0, 0])
    ((2, 32), 1.0)

    Inputs from -1 to 3 with one scale and a zero point, multiplied as integers:

    >>> params = lb.quantization.AffineParams.from_range(-1, 3, narrow_range=True)
    >>> y = linear(np.ones((2, 32)), lb.quantize(w, "int8"), compute="int8", x_scale=params)
    >>> round(float(y[0, 0]), 3)
    1.008
    """
    rows, kind = as_rows(x, "linear", "x")
    options: dict[str, Any] = {"compute": compute, "x_scale": kernel_scale(x_scale, "linear")}
    if bias is not None:
        options["bias"] = as_float32(bias, "linear", "bias", ndim=1)
    if lora is not None and not isinstance(lora, tuple | list):
        w, shift = kernel_weight(weight, "linear"), options.get("bias")
        return kind.restore(lora._forward(rows, w, shift, compute, options["x_scale"]))
    if lora is not None:
        a, b, scale = lora
        options["lora_a"] = as_float32(a, "linear", "lora A", ndim=2)
        options["lora_b"] = as_float32(b, "linear", "lora B", ndim=2)
        options["scale"] = float(scale)
    y, _ = _core.linear_forward(rows, kernel_weight(weight, "linear"), **options)
    return kind.restore(y)
