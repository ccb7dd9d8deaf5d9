"""Affine codes: value = (code - zero point) x scale, for whole tensors or slices along an axis.

For activations and for training with rounding in the loop; weights have packed formats
(`lowbit.quantize`). Zero is always exact, because the zero point is a code.

Two roundings are in use, and their ties differ where 1 / scale is not a float32:

- torch: round(x * (1 / scale)) + zero point (`fake_quantize` here)
- ONNX: round(x / scale) + zero point (`quantize_linear` here)

Both round halves to even.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbit.arrays import as_float32

SMALLEST_SCALE = np.finfo(np.float32).tiny
"""Below it, 1 / scale is not finite in float32."""


@dataclass(frozen=True, eq=False)
class AffineParams:
    """What affine codes mean.

    Attributes
    ----------
    scale
        float32, shape () for a whole tensor or [C] for C slices along an axis; 1.2e-38 at least.
    zero_point
        int32 of the same shape: the code of zero, from `low` to `high`.
    low, high
        First and last code, in 16 bits with or without a sign.

    Raises
    ------
    ValueError
        If one of these does not hold.

    Examples
    --------
    >>> params = AffineParams(0.5, 3, 0, 15)
    >>> params.scale.dtype, params.zero_point.shape
    (dtype('float32'), ())
    """

    scale: Any
    zero_point: Any
    low: int
    high: int

    def __post_init__(self) -> None:
        scale = as_float32(self.scale, "AffineParams", "scale")
        zero = np.asarray(self.zero_point)
        if zero.shape != scale.shape or scale.ndim > 1:
            raise ValueError(
                f"AffineParams: scale has shape {scale.shape}, zero_point {zero.shape}; "
                "both must be () or [C]"
            )
        if not -32768 <= self.low < self.high <= 65535:
            raise ValueError(
                f"AffineParams: codes from {self.low} to {self.high}; they must rise, in 16 bits"
            )
        if not (np.isfinite(scale) & (scale >= SMALLEST_SCALE)).all():
            raise ValueError(f"AffineParams: every scale must be finite, {SMALLEST_SCALE:.2g} up")
        whole = zero == np.rint(zero)
        if not (whole & (zero >= self.low) & (zero <= self.high)).all():
            raise ValueError(
                f"AffineParams: zero points must be whole, from {self.low} to {self.high}"
            )
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "zero_point", zero.astype(np.int32))

    @classmethod
    def from_range(
        cls,
        smallest: Any,
        largest: Any,
        bits: int = 8,
        symmetric: bool = False,
        narrow_range: bool = False,
    ) -> AffineParams:
        """The finest codes that cover a range, extended to contain zero.

        Parameters
        ----------
        smallest, largest
            Ends of the range: numbers, or arrays [C].
        bits
            2 to 16.
        symmetric
            False: codes 0 to 2^bits - 1. True: codes from -(2^(bits - 1) - 1) to its negative, and
            zero point 0; the one code more on the negative side is left out, as int8 kernels need.
        narrow_range
            True: codes from -(2^(bits - 1) - 1) to its negative with a zero point, unless
            symmetric: as many as int8 kernels multiply (`lowbit.linear`).

        Returns
        -------
        AffineParams
            Scale 1 where the range is zero alone. Values in the range are rounded by half a step at
            most.

        Raises
        ------
        ValueError
            If `bits` is out of range; if an end is not finite or the ends are in the wrong order.

        Examples
        --------
        >>> params = AffineParams.from_range(-1, 3, bits=4)
        >>> print(params.scale, params.zero_point, params.low, params.high)
        0.26666668 4 0 15
        >>> params = AffineParams.from_range(-1, 3, bits=4, narrow_range=True)
        >>> print(params.scale, params.zero_point, params.low, params.high)
        0.2857143 -4 -7 7
        """
        if not 2 <= bits <= 16:
            raise ValueError(f"AffineParams.from_range: bits={bits}; use 2 to 16")
        first, last = (np.asarray(end, np.float64) for end in (smallest, largest))
        if not (np.isfinite(first) & np.isfinite(last) & (first <= last)).all():
            raise ValueError("AffineParams.from_range: the ends must be finite and in order")
        first, last = np.minimum(first, 0), np.maximum(last, 0)
        low, high = 0, 2**bits - 1
        if symmetric or narrow_range:
            high = 2 ** (bits - 1) - 1
            low = -high
        if symmetric:
            last = np.maximum(-first, last)
            first = -last
        scale = (last - first) / (high - low)
        scale = np.where(scale == 0, 1, np.maximum(scale, SMALLEST_SCALE)).astype(np.float32)
        zero = np.clip(np.rint(low - first / scale), low, high).astype(np.int32)
        return cls(scale, np.zeros_like(zero) if symmetric else zero, low, high)


def fake_quantize(x: Any, params: AffineParams, axis: int | None = None) -> np.ndarray:
    """Round values to what their codes stand for, as a quantized model will see them.

    Has the bits of `torch.fake_quantize_per_tensor_affine` and `..._per_channel_affine` in float32
    wherever x / scale is below 2^63. Beyond, infinity too, values become those of the last code
    (torch's per-channel function wraps round); NaN stays NaN (torch: the first code), so that
    it is seen.

    Parameters
    ----------
    x
        Values of any shape; computed with in float32.
    params
        Scalars for the whole of x, or [C] for C slices along `axis`.
    axis
        The axis of the slices; None: params are scalars.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of x.

    Raises
    ------
    TypeError
        If x is not numeric.
    ValueError
        If params do not fit x and axis.

    Examples
    --------
    >>> fake_quantize([-0.2, 0.2, 0.3, 9.0], AffineParams(0.25, 0, 0, 15)).tolist()
    [0.0, 0.25, 0.25, 3.75]
    """
    array = as_float32(x, "fake_quantize", "x")
    scale, zero = _aligned(params, array.shape, axis, "fake_quantize")
    codes = np.clip(_unclipped(array, scale, zero), params.low, params.high)
    with np.errstate(over="ignore"):  # the last codes of a range may lie beyond float32
        return (codes - zero) * scale


def fake_quantize_backward(
    dy: Any, x: Any, params: AffineParams, axis: int | None = None
) -> np.ndarray:
    """Gradient of x: rounding is taken for the identity, where codes were not cut off.

    The straight-through estimator (Bengio et al. 2013), with the bits of torch: dy where the
    rounded code lies from low to high, else zero.

    Parameters
    ----------
    dy
        Gradient of the result, of the shape of x.
    x, params, axis
        As in `fake_quantize`.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of x.

    Raises
    ------
    TypeError
        If x or dy is not numeric.
    ValueError
        If shapes do not agree.

    Examples
    --------
    >>> x = [-0.2, 0.2, 0.3, 9.0]
    >>> fake_quantize_backward(np.ones(4), x, AffineParams(0.25, 0, 0, 15)).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    dy, array = _gradient_and_input(dy, x, "fake_quantize_backward")
    codes = _unclipped(array, *_aligned(params, array.shape, axis, "fake_quantize_backward"))
    return dy * _inside(codes, params)


def learned_step_backward(
    dy: Any,
    x: Any,
    params: AffineParams,
    axis: int | None = None,
    factor: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of x and of the scale, when the scale is trained too.

    Learned step size quantization (Esser et al., "Learned step size quantization", 2020). With
    v = x / scale, the scale's gradient of a value is

    - round(v) - v, where the code is inside
    - low - zero point or high - zero point, where it was cut off

    times dy. A code is inside as in `fake_quantize_backward` and torch, when it is so after
    rounding; the paper asks before, which differs within half a step of the ends. torch's learnable
    functions agree but for ties with odd zero points, which they round to the other side.

    Parameters
    ----------
    dy, x, params, axis
        As in `fake_quantize_backward`.
    factor
        What the scale's gradient is multiplied by; None: the paper's 1 / sqrt(n p) for n values
        that share a scale, and p codes above zero.

    Returns
    -------
    tuple of numpy.ndarray
        float32: the gradient of x, of its shape; and that of the scale, () or [C].

    Raises
    ------
    TypeError, ValueError
        As `fake_quantize_backward`.

    Examples
    --------
    >>> dx, dscale = learned_step_backward([1, 1], [0.3, 9.0], AffineParams(0.25, 0, 0, 15))
    >>> dx.tolist(), round(float(dscale), 3)  # (1 - 1.2 + 15) / sqrt(2 * 15)
    ([1.0, 0.0], 2.702)
    """
    name = "learned_step_backward"
    dy, array = _gradient_and_input(dy, x, name)
    scale, zero = _aligned(params, array.shape, axis, name)
    codes = _unclipped(array, scale, zero)
    inside = _inside(codes, params)
    levels = np.clip(codes, params.low, params.high) - zero
    steps = np.where(inside, (levels * scale - array) * (1 / scale), levels)
    others = None if axis is None else tuple(np.delete(np.arange(array.ndim), axis))
    sums = np.sum(steps.astype(np.float64) * dy, axis=others)
    if factor is None:
        count = array.size // max(1, sums.size)
        above = params.high - params.zero_point
        sums = sums / np.sqrt(np.maximum(1, count * above))
    else:
        sums = sums * factor
    return dy * inside, np.asarray(sums, np.float32)


def quantize_linear(x: Any, params: AffineParams, axis: int | None = None) -> np.ndarray:
    """Codes of values, as ONNX QuantizeLinear defines them.

    round(x / scale) + zero point, halves to even, cut to low and high: with 0..255 or -128..127,
    the codes of ONNX Runtime. torch multiplies by 1 / scale instead, so a value close to the middle
    of two codes may have the other one there, and in `fake_quantize`.

    Parameters
    ----------
    x, params, axis
        As in `fake_quantize`; x without NaN.

    Returns
    -------
    numpy.ndarray
        Codes of the shape of x: uint8 or uint16 where low is 0 or more, else int8 or int16.

    Raises
    ------
    TypeError
        If x is not numeric.
    ValueError
        If params do not fit x and axis, or x holds NaN; or if no dtype of 16 bits has all codes.

    Examples
    --------
    >>> quantize_linear([-1.0, 0.25, 0.75, 99.0], AffineParams(0.5, 2, 0, 255))
    array([  0,   2,   4, 200], dtype=uint8)
    """
    array = as_float32(x, "quantize_linear", "x")
    refuse(np.isnan(array), array, "quantize_linear", "no code stands for it")
    scale, zero = _aligned(params, array.shape, axis, "quantize_linear")
    kinds = (np.uint8, np.uint16) if params.low >= 0 else (np.int8, np.int16)
    fitting = [k for k in kinds if np.iinfo(k).min <= params.low and params.high <= np.iinfo(k).max]
    if not fitting:
        raise ValueError(f"quantize_linear: no 16 bits hold {params.low} to {params.high}")
    with np.errstate(over="ignore"):  # infinity is cut off like other large numbers
        codes = np.rint(array / scale) + zero
    return np.clip(codes, params.low, params.high).astype(fitting[0])


def dequantize_linear(codes: Any, params: AffineParams, axis: int | None = None) -> np.ndarray:
    """What codes stand for: (code - zero point) x scale, as ONNX DequantizeLinear.

    Parameters
    ----------
    codes
        Integers of any shape.
    params, axis
        As in `fake_quantize`.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of codes.

    Raises
    ------
    TypeError
        If codes are not numeric.
    ValueError
        If params do not fit codes and axis.

    Examples
    --------
    >>> dequantize_linear(np.array([0, 2, 4], np.uint8), AffineParams(0.5, 2, 0, 255)).tolist()
    [-1.0, 0.0, 1.0]
    """
    array = as_float32(codes, "dequantize_linear", "codes")
    scale, zero = _aligned(params, array.shape, axis, "dequantize_linear")
    with np.errstate(over="ignore"):  # as in fake_quantize
        return (array - zero) * scale


def refuse(wrong: np.ndarray, x: np.ndarray, function: str, rule: str) -> None:
    """Name the first value of x that is marked in `wrong`, by its position, and the rule."""
    if wrong.any():
        at = np.unravel_index(int(wrong.argmax()), wrong.shape)
        place = f"x[{', '.join(map(str, at))}]" if at else "x"
        raise ValueError(f"{function}: {place} is {x[at]}; {rule}")


def _unclipped(x: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Codes before they are cut to the range, as float32: torch's rounding."""
    with np.errstate(over="ignore"):  # infinity is cut off like other large numbers
        return np.rint(x * (1 / scale)) + zero


def _inside(codes: np.ndarray, params: AffineParams) -> np.ndarray:
    return (codes >= params.low) & (codes <= params.high)


def _aligned(
    params: AffineParams, shape: tuple[int, ...], axis: int | None, function: str
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point, both float32, in a shape that broadcasts with `shape`."""
    slices = params.scale.shape
    if axis is None:
        expected: tuple[int, ...] = ()
        wide: tuple[int, ...] = ()
    elif -len(shape) <= axis < len(shape):
        expected = (shape[axis],)
        wide = tuple(shape[k] if k == axis % len(shape) else 1 for k in range(len(shape)))
    else:
        raise ValueError(f"{function}: axis={axis}, and there are {len(shape)} dimensions")
    if slices != expected:
        raise ValueError(
            f"{function}: params have shape {slices}; axis={axis} of {shape} needs {expected}"
        )
    return params.scale.reshape(wide), params.zero_point.astype(np.float32).reshape(wide)


def _gradient_and_input(dy: Any, x: Any, function: str) -> tuple[np.ndarray, np.ndarray]:
    gradient, array = as_float32(dy, function, "dy"), as_float32(x, function, "x")
    if gradient.shape != array.shape:
        raise ValueError(f"{function}: dy has shape {gradient.shape}, x {array.shape}")
    return gradient, array
