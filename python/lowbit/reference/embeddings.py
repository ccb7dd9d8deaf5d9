"""Embedding tables in low precision, and the sum that a BERT encoder starts with."""

from __future__ import annotations

import numpy as np

from lowbit.reference.quantization import Quantized, quantize, round_to_bf16


def int8_rows(table: np.ndarray) -> Quantized:
    """A table with int8 rows, one scale each; `.dequantize()` gives the rows that are used.

    Parameters
    ----------
    table
        Floats [rows, dim].

    Examples
    --------
    >>> int8_rows(np.array([[127.0, -3.2], [0.0, 0.0]])).dequantize().tolist()
    [[127.0, -3.0], [0.0, 0.0]]
    """
    return quantize(table, "int8", group_size=None)


def bf16_rows(table: np.ndarray) -> np.ndarray:
    """A table with its values rounded to bfloat16, as float32 [rows, dim].

    Examples
    --------
    >>> bf16_rows(np.array([[0.1]])).tolist()
    [[0.10009765625]]
    """
    return round_to_bf16(table)


def embedding_sum(
    word: np.ndarray,
    ids: np.ndarray,
    position: np.ndarray | None = None,
    position_ids: np.ndarray | None = None,
    token_type: np.ndarray | None = None,
    type_ids: np.ndarray | None = None,
) -> np.ndarray:
    """word[ids] + token_type[type_ids] + position[position_ids], added in this order.

    Parameters
    ----------
    word, position, token_type
        Tables [rows, dim]; the last two may be None.
    ids, position_ids, type_ids
        Integers [M].

    Returns
    -------
    numpy.ndarray
        [M, dim].

    Examples
    --------
    >>> embedding_sum(np.eye(3), np.array([2, 0]), np.ones((5, 3)), np.array([0, 1])).tolist()
    [[1.0, 1.0, 2.0], [2.0, 1.0, 1.0]]
    """
    x = word[ids]
    if token_type is not None:
        x = x + token_type[type_ids]
    if position is not None:
        x = x + position[position_ids]
    return x
