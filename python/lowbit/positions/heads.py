"""Arrays of queries and keys as the kernel takes them, and orders of a head's columns."""

from __future__ import annotations

from typing import Any

import numpy as np

# What the kernel calls the elements. Bits of bfloat16 may come as uint16, where there is no dtype.
_WORDS = np.dtype(np.uint16)
_FORMATS = ((np.dtype(np.float32), "fp32"), (_WORDS, "bf16"), (np.dtype(np.float16), "fp16"))
LAYOUTS = ("half", "interleaved")


def heads_of(x: Any, head_dim: int, function: str, argument: str) -> tuple[np.ndarray, str]:
    """A view of `x` as [batches, tokens, heads, head_dim], and the name of its format.

    Raises
    ------
    TypeError
        If it is not a NumPy array of float32, float16, bfloat16 or uint16.
    ValueError
        If its shape is none of [tokens, heads * head_dim], [tokens, heads, head_dim] and
        [batches, tokens, heads, head_dim].
    """
    format = _format(x)
    if format is None:
        kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(
            f"{function}: {argument} is {kind}; pass a NumPy array of float32, float16 or "
            f"bfloat16 (its bits as uint16 will do), which is changed in place"
        )
    view = x if format == "fp32" or x.dtype is _WORDS else x.view(_WORDS)
    # No copy: the last axis is cut into heads, and an axis of one is put before the first.
    if view.ndim == 2 and view.shape[1] % head_dim == 0:
        view = view.reshape(len(view), view.shape[1] // head_dim, head_dim)
    if view.ndim == 3:
        view = view[None]
    if view.ndim != 4 or view.shape[3] != head_dim:
        raise ValueError(
            f"{function}: {argument} has shape {x.shape}; expected [tokens, heads * {head_dim}], "
            f"[tokens, heads, {head_dim}] or [batches, tokens, heads, {head_dim}]"
        )
    return view, format


def _format(x: Any) -> str | None:
    """The arrays of one token are asked about for longer than it takes to turn them: no names."""
    if not isinstance(x, np.ndarray):
        return None
    kind = x.dtype
    for known, format in _FORMATS:
        if kind is known:
            return format
    names = {"float32": "fp32", "float16": "fp16", "uint16": "bf16", "bfloat16": "bf16"}
    return names.get(kind.name) if kind.isnative else None


def reorder(
    weights: Any, head_dim: int, source: str, target: str, rotary_dim: int | None = None
) -> np.ndarray:
    """Rows of a projection's weights in the order that another layout wants.

    Models differ in which columns of a head are a pair. A query or key projection whose rows are
    moved so gives, with the other layout, the same scores as before.

    Parameters
    ----------
    weights
        [heads * head_dim, ...]: a weight, a bias, or anything with the head's columns first.
    head_dim
        Columns of a head.
    source, target
        "half" or "interleaved".
    rotary_dim
        Columns of a head that turn; None: all. The others stay where they are.

    Returns
    -------
    numpy.ndarray
        A copy of the shape and dtype of `weights`.

    Raises
    ------
    ValueError
        If a layout is unknown or sizes do not fit.

    Examples
    --------
    >>> reorder(np.arange(6), 6, "interleaved", "half").tolist()
    [0, 2, 4, 1, 3, 5]
    >>> reorder([0, 2, 1, 3, 9], 5, "half", "interleaved", rotary_dim=4).tolist()
    [0, 1, 2, 3, 9]
    """
    array = np.asarray(weights)
    turning = head_dim if rotary_dim is None else rotary_dim
    for name in (source, target):
        check_layout(name, "positions.reorder")
    if not 0 <= turning <= head_dim or turning % 2 or array.shape[0] % head_dim:
        raise ValueError(
            f"positions.reorder: {array.shape[0]} rows, head_dim={head_dim} and "
            f"rotary_dim={turning} do not fit together"
        )
    half = np.arange(turning).reshape(2, -1)
    place = half.T.reshape(-1) if target == "interleaved" else np.argsort(half.T.reshape(-1))
    order = np.arange(head_dim)
    if source != target:
        order[:turning] = place
    return array.reshape(-1, head_dim, *array.shape[1:])[:, order].reshape(array.shape)


def check_layout(layout: str, function: str) -> None:
    """Raise ValueError unless it is one of LAYOUTS."""
    if layout not in LAYOUTS:
        raise ValueError(f'{function}: layout={layout!r} is not known; use "half" or "interleaved"')
