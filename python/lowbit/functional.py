"""The operations around a matrix product, for any array: rows are the last axis.

Inputs [..., D] may be float32, float16, bfloat16 (of ml_dtypes) or other numbers; the arithmetic is
float32, and a result has the input's 16-bit type, or float32. Every `f_backward` takes dy = dL/dy
first and returns the gradient of x; parameters such as gamma are taken as frozen. The same bits
come out on every instruction set and with any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import Rows, as_float32, as_rows

__all__ = [
    "attention",
    "attention_backward",
    "gelu",
    "gelu_backward",
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
]


def softmax(x: Any) -> np.ndarray:
    """exp(x) / sum(exp(x)) over the last axis. A row of only -inf gives NaN.

    Examples
    --------
    >>> softmax([[0.0, 0.0], [1000.0, -1000.0]]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    rows, kind = as_rows(x, "softmax", "x")
    return kind.restore(_core.softmax(rows))


def softmax_backward(dy: Any, y: Any) -> np.ndarray:
    """y (dy - sum(dy y)), where y is what `softmax` gave.

    Examples
    --------
    >>> softmax_backward([[1.0, 0.0]], [[0.5, 0.5]]).tolist()
    [[0.25, -0.25]]
    """
    dy_rows, kind = as_rows(dy, "softmax_backward", "dy")
    return kind.restore(_core.softmax_backward(dy_rows, as_rows(y, "softmax_backward", "y")[0]))


def attention(
    q: Any, k: Any, v: Any, heads: int, indptr: Any = None, *, causal: bool = False
) -> np.ndarray:
    """softmax(q k^T / sqrt(d)) v inside every sequence and head (Vaswani et al., 2017).

    No T x T matrix is stored: 48 queries meet 512 keys at a time, so memory grows with M alone.

    Parameters
    ----------
    q, k, v
        [M, heads * d]: the tokens of all sequences, one after the other; head h has the columns
        h d to (h + 1) d.
    heads
        How many; they divide the width.
    indptr
        [sequences + 1]: sequence s is the rows indptr[s] to indptr[s + 1]. None: all rows are one
        sequence.
    causal
        A token sees itself and the tokens before it, not those after it.

    Returns
    -------
    numpy.ndarray
        [M, heads * d].

    Examples
    --------
    >>> q, v = np.zeros((3, 2)), np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 50.0]])
    >>> attention(q, q, v, heads=1, indptr=[0, 2, 3]).tolist()
    [[2.0, 20.0], [2.0, 20.0], [5.0, 50.0]]
    >>> attention(q, q, v, heads=1, causal=True).round(4).tolist()
    [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]
    """
    rows, kind, ends = _attention_inputs("attention", q, k, v, indptr)
    return kind.restore(_core.attention(*rows, heads, ends, causal=causal)[0])


def attention_backward(
    dy: Any, q: Any, k: Any, v: Any, heads: int, indptr: Any = None, *, causal: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of q, k and v through `attention`, which is computed once more.

    Examples
    --------
    >>> q, v, dy = np.zeros((2, 1)), np.array([[1.0], [3.0]]), np.ones((2, 1))
    >>> dq, dk, dv = attention_backward(dy, q, q, v, heads=1)
    >>> dv.tolist()
    [[1.0], [1.0]]
    """
    name = "attention_backward"
    rows, kind, ends = _attention_inputs(name, q, k, v, indptr)
    out, lse = _core.attention(*rows, heads, ends, causal=causal)
    dy_rows = np.ascontiguousarray(as_rows(dy, name, "dy")[0])
    gradients = _core.attention_backward(dy_rows, *rows, out, lse, heads, ends, causal=causal)
    dq, dk, dv = (kind.restore(gradient) for gradient in gradients)
    return dq, dk, dv


def _attention_inputs(
    function: str, q: Any, k: Any, v: Any, indptr: Any
) -> tuple[list[np.ndarray], Rows, np.ndarray]:
    rows, kind = as_rows(q, function, "q")
    others = [as_rows(array, function, name)[0] for name, array in (("k", k), ("v", v))]
    ends = np.array([0, len(rows)]) if indptr is None else np.asarray(indptr)
    if ends.dtype.kind not in "iu":
        raise TypeError(f"{function}: indptr has dtype {ends.dtype}; pass integers")
    contiguous = [np.ascontiguousarray(array) for array in (rows, *others)]
    return contiguous, kind, np.ascontiguousarray(ends, np.int64)


def layer_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) * gamma + beta over the last axis (Ba et al., 2016).

    Examples
    --------
    >>> layer_norm([1.0, 3.0], gamma=[2.0, 2.0], beta=[0.0, 1.0], eps=1e-12).tolist()
    [-2.0, 3.0]
    """
    rows, kind = as_rows(x, "layer_norm", "x")
    parameters = (as_float32(gamma, "layer_norm", "gamma"), as_float32(beta, "layer_norm", "beta"))
    return kind.restore(_core.layer_norm(np.ascontiguousarray(rows), None, *parameters, eps)[0])


def layer_norm_backward(dy: Any, x: Any, gamma: Any, eps: float = 1e-5) -> np.ndarray:
    """Gradient of x through `layer_norm`.

    Examples
    --------
    >>> layer_norm_backward([1.0, 0.0, 0.0], [1.0, 3.0, 5.0], np.ones(3), 1e-12).round(4).tolist()
    [0.10209999978542328, -0.20409999787807465, 0.10209999978542328]
    """
    name = "layer_norm_backward"
    dy_rows, kind = as_rows(dy, name, "dy")
    rows = np.ascontiguousarray(as_rows(x, name, "x")[0])
    scale = as_float32(gamma, name, "gamma")
    _, h, mean, rstd = _core.layer_norm(rows, None, scale, np.zeros_like(scale), eps)
    gradient = _core.layer_norm_backward(np.ascontiguousarray(dy_rows), h, mean, rstd, scale)
    return kind.restore(gradient)


def rms_norm(x: Any, gamma: Any, eps: float = 1e-6) -> np.ndarray:
    """x / sqrt(mean(x^2) + eps) * gamma over the last axis (Zhang and Sennrich, 2019).

    Examples
    --------
    >>> rms_norm([3.0, -4.0, 0.0, 0.0], gamma=np.ones(4), eps=0).round(4).tolist()
    [1.2000000476837158, -1.600000023841858, 0.0, 0.0]
    """
    rows, kind = as_rows(x, "rms_norm", "x")
    return kind.restore(_core.rms_norm(rows, as_float32(gamma, "rms_norm", "gamma"), eps))


def rms_norm_backward(dy: Any, x: Any, gamma: Any, eps: float = 1e-6) -> np.ndarray:
    """Gradient of x through `rms_norm`.

    Examples
    --------
    >>> rms_norm_backward([1.0, 0.0], [1.0, 1.0], gamma=np.ones(2), eps=0).tolist()
    [0.5, -0.5]
    """
    dy_rows, kind = as_rows(dy, "rms_norm_backward", "dy")
    rows, _ = as_rows(x, "rms_norm_backward", "x")
    scale = as_float32(gamma, "rms_norm_backward", "gamma")
    return kind.restore(_core.rms_norm_backward(dy_rows, rows, scale, eps))


def gelu(x: Any, approximate: str = "none") -> np.ndarray:
    """x Phi(x) with the normal distribution function Phi (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    x
        Any shape.
    approximate
        "none": with the exact error function. "tanh": the formula with a hyperbolic tangent that
        models call "gelu_new" or "gelu_pytorch_tanh".

    Examples
    --------
    >>> gelu([1.0]).round(4).tolist(), gelu([1.0], "tanh").round(4).tolist()
    ([0.8413000106811523], [0.8411999940872192])
    """
    return _activation(x, _gelu_name("gelu", approximate))


def gelu_backward(dy: Any, x: Any, approximate: str = "none") -> np.ndarray:
    """dy times the slope of `gelu` at x.

    Examples
    --------
    >>> gelu_backward([1.0, 2.0], [0.0, 0.0]).tolist()
    [0.5, 1.0]
    """
    return _activation_backward(dy, x, _gelu_name("gelu_backward", approximate))


def silu(x: Any) -> np.ndarray:
    """x / (1 + exp(-x)), also called swish (Elfwing et al., 2018).

    Examples
    --------
    >>> silu([0.0, 30.0, -1e30]).tolist()
    [0.0, 30.0, -0.0]
    """
    return _activation(x, "silu")


def silu_backward(dy: Any, x: Any) -> np.ndarray:
    """dy times the slope of `silu` at x.

    Examples
    --------
    >>> silu_backward([1.0], [0.0]).tolist()
    [0.5]
    """
    return _activation_backward(dy, x, "silu")


def _gelu_name(function: str, approximate: str) -> str:
    names = {"none": "gelu", "tanh": "gelu_tanh"}
    if approximate not in names:
        raise ValueError(
            f'{function}: approximate="{approximate}" is not known; use "none" or "tanh"'
        )
    return names[approximate]


def _activation(x: Any, name: str) -> np.ndarray:
    rows, kind = as_rows(np.atleast_1d(x), name, "x")
    return kind.restore(_core.activation(np.ascontiguousarray(rows), name))


def _activation_backward(dy: Any, x: Any, name: str) -> np.ndarray:
    dy_rows, kind = as_rows(dy, f"{name}_backward", "dy")
    rows, _ = as_rows(x, f"{name}_backward", "x")
    contiguous = (np.ascontiguousarray(dy_rows), np.ascontiguousarray(rows))
    return kind.restore(_core.activation_backward(*contiguous, name))
