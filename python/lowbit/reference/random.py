"""Dropout whose random numbers depend on their place alone.

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011):
a function from a 64-bit key and a 128-bit counter to four 32-bit words. So any thread can compute
the mask of any element, in any order, and backward computes the mask of forward again instead of
keeping it.

Definition, exact to the bit:

- key = (seed mod 2^32, seed >> 32); counter words = (block mod 2^32, block >> 32, 0, 0).
- Word number n of a seed is word n % 4 of block n // 4.
- Element i (row-major) of a mask that starts at `counter`, a multiple of 4, uses word counter + i.
- With p rounded to float32, threshold = floor(p * 2^24). An element is kept when the upper 24 bits
  of its word (word >> 8) are at least the threshold, and is then multiplied by 1 / (1 - p), which
  is computed in float32 as well.

Attention weights have no array of their own: the weight of query row m (in the whole batch), head
h and key j (in its own text) is element (m * heads + h) * longest + j, where `longest` is the
length of the longest text rounded up to a multiple of 4.
"""

from __future__ import annotations

import numpy as np

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(seed: int, blocks: np.ndarray) -> np.ndarray:
    """Four random words of each block.

    Parameters
    ----------
    seed
        In [0, 2^64): the key.
    blocks
        uint64 [...]: the lower half of the counter; the upper half is zero.

    Returns
    -------
    numpy.ndarray
        uint32 [..., 4].

    Examples
    --------
    >>> [hex(word) for word in philox(0, np.array(0, np.uint64))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    blocks = np.asarray(blocks, np.uint64)
    c0, c1 = blocks & _WORD, blocks >> _HALF
    c2, c3 = np.zeros_like(blocks), np.zeros_like(blocks)
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c2 = (
            (product1 >> _HALF) ^ c1 ^ np.uint64(key0),
            (product0 >> _HALF) ^ c3 ^ np.uint64(key1),
        )
        c1, c3 = product1 & _WORD, product0 & _WORD
        key0 = (key0 + _KEY_STEPS[0]) & 0xFFFFFFFF
        key1 = (key1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def random_words(seed: int, positions: np.ndarray) -> np.ndarray:
    """The random words of these positions: uint32, with the shape of `positions`.

    Examples
    --------
    >>> random_words(0, np.arange(4)).tolist() == philox(0, np.array(0)).tolist()
    True
    """
    positions = np.asarray(positions).astype(np.uint64)
    four = philox(seed, positions >> np.uint64(2))
    lane = (positions & np.uint64(3)).astype(np.int64)
    return np.take_along_axis(four, lane[..., None], axis=-1)[..., 0]


def keep_mask(p: float, seed: int, positions: np.ndarray) -> np.ndarray:
    """Which elements dropout keeps.

    Parameters
    ----------
    p
        Probability of dropping an element, in [0, 1).
    seed
        In [0, 2^64).
    positions
        Integers [...]: counter + i for element i.

    Returns
    -------
    numpy.ndarray
        bool [...].

    Raises
    ------
    ValueError
        If p is not in [0, 1).

    Examples
    --------
    >>> float(keep_mask(0.25, seed=1, positions=np.arange(100_000)).mean())
    0.7522
    """
    if not 0 <= p < 1:
        raise ValueError(f"keep_mask: p={p} must be in [0, 1)")
    threshold = int(np.float32(p) * np.float32(1 << 24))
    return (random_words(seed, positions) >> np.uint32(8)) >= threshold


def keep_scale(p: float) -> np.float32:
    """What kept elements are multiplied by, so that the expected value stays: 1 / (1 - p)."""
    return np.float32(1) / (np.float32(1) - np.float32(p))


def dropout(x: np.ndarray, p: float, seed: int, counter: int = 0) -> np.ndarray:
    """Zeros in place of a share p of the elements, the others scaled by 1 / (1 - p).

    The backward is the same function of the gradient: dx = dropout(dy, p, seed, counter).

    Parameters
    ----------
    x
        Any float array.
    p, seed
        As in `keep_mask`.
    counter
        Position of the first element, a multiple of 4. Masks of one training step take their
        counters one after the other, so that no word serves two of them.

    Returns
    -------
    numpy.ndarray
        Shape and dtype of x.

    Raises
    ------
    ValueError
        If p is not in [0, 1) or counter is not a multiple of 4.

    Examples
    --------
    >>> dropout(np.ones(8, np.float32), p=0.5, seed=7).tolist()
    [2.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0]
    """
    if counter % 4:
        raise ValueError(f"dropout: counter={counter} must be a multiple of 4")
    keep = keep_mask(p, seed, counter + np.arange(x.size, dtype=np.uint64))
    return np.where(keep.reshape(x.shape), x * x.dtype.type(keep_scale(p)), x.dtype.type(0))
