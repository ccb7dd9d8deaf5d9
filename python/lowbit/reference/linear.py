"""A frozen linear layer with a low-rank adapter beside it (Hu et al., "LoRA", 2021).

    y = x W^T + bias + scale * (drop(x) A^T) B^T

with x [M, K], W [N, K], A [r, K], B [N, r], y [M, N]: PEFT's orientation. W and bias are frozen;
with dy = dL/dy the gradients are

    t  = scale * dy B                 [M, r]
    dx = dy W + drop(t A)             [M, K]
    dA = t^T drop(x)                  [r, K]
    dB = scale * dy^T (drop(x) A^T)   [N, r]

where drop is one and the same mask and scaling in every place. No gradient of W is ever formed, and
a quantized W is only read.
"""

from __future__ import annotations

import numpy as np

from lowbit.reference.levels import INTEGER_UNITS, integer_levels
from lowbit.reference.quantization import Quantized
from lowbit.reference.random import dropout


def linear(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    lora_a: np.ndarray | None = None,
    lora_b: np.ndarray | None = None,
    scale: float = 1.0,
    p: float = 0.0,
    seed: int = 0,
    counter: int = 0,
) -> np.ndarray:
    """y = x W^T + bias + scale * (drop(x) A^T) B^T.

    Parameters
    ----------
    x
        Floats [M, K].
    w
        Floats [N, K]; of a quantized matrix, what it dequantizes to.
    bias
        [N] or None.
    lora_a, lora_b
        [r, K] and [N, r], or None for no adapter.
    scale
        alpha / r in LoRA's terms.
    p, seed, counter
        Dropout of the adapter's input, as in `reference.random.dropout`.

    Returns
    -------
    numpy.ndarray
        [M, N].

    Examples
    --------
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 3.0]])
    >>> linear(x, w).tolist()
    [[3.0, 6.0]]
    >>> a, b = np.array([[1.0, 0.0]]), np.array([[0.0], [1.0]])
    >>> linear(x, w, lora_a=a, lora_b=b, scale=2).tolist()
    [[3.0, 8.0]]
    """
    y = x @ w.T
    if bias is not None:
        y = y + bias
    if lora_a is not None:
        dropped = dropout(x, p, seed, counter) if p else x
        y = y + x.dtype.type(scale) * (dropped @ lora_a.T) @ lora_b.T
    return y


def round_int16(x: np.ndarray, depth: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """Rows as 16-bit integers: how compute="int16" sees both operands of a product.

    Each row is cut into stretches of `depth` columns, and each stretch is scaled to the Euclidean
    norm 46328, or to the largest value 32767 if that comes first. By Cauchy and Schwarz a sum of
    products of two such stretches stays below 2^31, so it can be summed in int32.

    Parameters
    ----------
    x
        float32 [rows, K].

    Returns
    -------
    codes, scales
        int16 [rows, K] and float32 [rows, ceil(K / depth)]; x is about codes * scales. The scale
        of a stretch with an infinite or NaN value is NaN; a stretch below 1e-30 has codes 0.

    Examples
    --------
    >>> codes, scales = round_int16(np.array([[3.0, -4.0]], np.float32))
    >>> codes.tolist(), round(float(scales[0, 0]) * 32767, 3)
    ([[24575, -32767]], 4.0)
    """
    codes = np.zeros(x.shape, np.int16)
    scales = np.zeros((len(x), -(-x.shape[1] // depth)), np.float32)
    for i in range(scales.shape[1]):
        part = x[:, i * depth : (i + 1) * depth].astype(np.float64)
        finite = np.isfinite(part).all(axis=1, keepdims=True)
        largest = np.abs(np.where(finite, part, 0)).max(axis=1, keepdims=True)
        inverse = np.divide(1, largest, out=np.zeros_like(largest), where=largest > 1e-30)
        norm = np.linalg.norm(np.where(finite, part, 0) * inverse, axis=1, keepdims=True)
        size = np.minimum(
            32767, np.divide(46328, norm, out=np.full_like(norm, 1e9), where=norm > 0)
        )
        codes[:, i * depth : (i + 1) * depth] = np.rint(np.where(finite, part, 0) * inverse * size)
        scales[:, i : i + 1] = np.where(finite, largest / size, np.nan)
    return codes, scales


def round_int8(x: np.ndarray, block: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Rows as 8-bit integers: how compute="int8" sees the input of a product.

    Each row is cut into blocks of `block` columns, and each block is scaled to the largest value
    127.

    Parameters
    ----------
    x
        Finite float32 [rows, K].

    Returns
    -------
    codes, scales
        int8 [rows, K] and float32 [rows, ceil(K / block)]; x is about codes * scales. A block below
        1e-30 has codes 0.

    Examples
    --------
    >>> codes, scales = round_int8(np.array([[3.0, -4.0]], np.float32))
    >>> codes.tolist(), round(float(scales[0, 0]) * 127, 3)
    ([[95, -127]], 4.0)
    """
    codes = np.zeros(x.shape, np.int8)
    scales = np.zeros((len(x), -(-x.shape[1] // block)), np.float32)
    for i in range(scales.shape[1]):
        part = x[:, i * block : (i + 1) * block]
        largest = np.abs(part).max(axis=1, keepdims=True)
        inverse = np.divide(
            np.float32(127), largest, out=np.zeros_like(largest), where=largest > 1e-30
        )
        codes[:, i * block : (i + 1) * block] = np.rint(part * inverse)
        scales[:, i : i + 1] = largest * np.float32(1 / 127)
    return codes, scales


def round_affine(
    x: np.ndarray, scale: float, zero_point: int, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """x with a scale and a zero point that are given, for all of it: static quantization.

    Parameters
    ----------
    x
        Finite float32 of any shape.
    scale, zero_point, low, high
        As in `lowbit.quantization.AffineParams`.

    Returns
    -------
    levels, scale
        int64 of the shape of x, code - zero point; x is about levels * scale. And float32 [], the
        scale.

    Examples
    --------
    >>> round_affine(np.array([-9.0, 0.0, 1.0], np.float32), 0.5, -120, -127, 127)[0].tolist()
    [-7, 0, 2]
    """
    inverse = np.float32(1) / np.float32(scale)
    codes = np.clip(np.rint(x * inverse) + zero_point, low, high)
    return codes.astype(np.int64) - zero_point, np.float32(scale)


def linear_int8(
    x: np.ndarray, w: Quantized, x_scale: str | tuple[float, int, int, int] = "block"
) -> np.ndarray:
    """x W^T as compute="int8" does it: sums of products of integers.

    Parameters
    ----------
    x
        Finite float32 [M, K].
    w
        [N, K]; formats of levels take these in 8 bits.
    x_scale
        "block": a scale for each row and 128 to 256 columns. "row": one for each row. Or one for
        all of x: scale, zero point, first and last code.

    Returns
    -------
    numpy.ndarray
        float64 [M, N].

    Examples
    --------
    >>> from lowbit.reference.quantization import quantize
    >>> w = quantize(np.array([[1.0, -1.0]], np.float32), "int8", None)
    >>> linear_int8(np.array([[3.0, 1.0]], np.float32), w).round(2).tolist()
    [[2.01]]
    """
    piece = min(w.group_size, 256)
    block = max(piece, 128) if x_scale == "block" else max(1, x.shape[1])
    if isinstance(x_scale, str):
        codes, x_scales = round_int8(x, block)
    else:
        codes, scale = round_affine(x, *x_scale)
        x_scales = np.full((len(x), 1), scale)
    integers, unit = w.codes.astype(np.int64), 1.0
    if w.zero_points is not None:
        integers = integers - np.repeat(w.zero_points, w.group_size, axis=1)[:, : x.shape[1]]
    elif w.format == "int4":
        integers = integers - 8
    elif w.format in INTEGER_UNITS:
        integers, unit = integer_levels(w.format)[w.codes], INTEGER_UNITS[w.format]
    y = np.zeros((len(x), len(integers)))
    for k in range(0, x.shape[1], piece):
        part = slice(k, k + piece)
        sums = codes[:, part].astype(np.int64) @ integers[:, part].T
        w_scales = w.scales[:, k // w.group_size].astype(np.float64)
        y += sums * x_scales[:, [k // block]].astype(np.float64) * w_scales * unit
    return y


def linear_backward(
    dy: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    lora_a: np.ndarray | None = None,
    lora_b: np.ndarray | None = None,
    scale: float = 1.0,
    p: float = 0.0,
    seed: int = 0,
    counter: int = 0,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Gradients of the input and of the adapter.

    Parameters
    ----------
    dy
        [M, N], the gradient of y.
    x, w, lora_a, lora_b, scale, p, seed, counter
        As `linear` had them.

    Returns
    -------
    dx, da, db
        [M, K], [r, K], [N, r]; da and db are None without an adapter.

    Examples
    --------
    >>> dx, da, db = linear_backward(np.array([[1.0]]), np.array([[2.0, 3.0]]),
    ...     np.array([[5.0, 7.0]]), lora_a=np.array([[1.0, 0.0]]), lora_b=np.array([[10.0]]))
    >>> dx.tolist(), da.tolist(), db.tolist()
    ([[15.0, 7.0]], [[20.0, 30.0]], [[2.0]])
    """
    dx = dy @ w
    if lora_a is None:
        return dx, None, None
    scale = x.dtype.type(scale)
    dropped = dropout(x, p, seed, counter) if p else x
    through_b = scale * (dy @ lora_b)
    inner = through_b @ lora_a
    da = through_b.T @ dropped
    db = scale * (dy.T @ (dropped @ lora_a.T))
    return dx + (dropout(inner, p, seed, counter) if p else inner), da, db
