"""GGUF's blocks of numbers as float32: one function per type, exact.

A block is a run of 32 or 256 neighbours of a row with what they share before their codes:

    F32 F16 BF16   one number
    Q4_0 Q4_1      fp16 d (fp16 m), 16 bytes of nibbles        d (q - 8)        d q + m
    Q5_0 Q5_1      the same with 4 bytes of fifth bits between  d (q - 16)      d q + m
    Q8_0           fp16 d, 32 int8                              d q
    Q4_K Q5_K      fp16 d, fp16 dmin, 8 pairs of 6 bits, codes  (d sc) q - (dmin m)
    Q6_K           low nibbles, upper pairs of bits, 16 int8, d (d sc) (q - 32)
    IQ4_NL         fp16 d, nibbles                              d LEVELS[q]
    MXFP4          exponent e, nibbles                          2^(e - 128) E2M1[q]

Low nibbles are the first half of a run of 32 (of 64 in Q4_K and Q5_K), high nibbles the second.
Every product is rounded once, in the order written above, so results have the bits of gguf-py and
of ggml. After ggml's `ggml-common.h` (layouts) and `ggml-quants.c` (meaning).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.quantization.packing import scales_as_floats

IQ4_NL = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)
# Doubled, so that all are whole: 0, 0.5, 1, 1.5, 2, 3, 4, 6. Minus zero comes as zero.
MXFP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


def dequantize_blocks(type: str, blocks: np.ndarray) -> np.ndarray:
    """The numbers that blocks stand for.

    Parameters
    ----------
    type
        A name in `DEQUANTIZED`.
    blocks
        uint8 [count, bytes of a block].

    Returns
    -------
    numpy.ndarray
        float32 [count, elements of a block].

    Raises
    ------
    KeyError
        If the type is not in `DEQUANTIZED`.

    Examples
    --------
    >>> block = np.array([[0x00, 0x38] + [0x8F] * 16], np.uint8)  # d = 0.5
    >>> dequantize_blocks("Q4_0", block)[0, 15:17].tolist()
    [3.5, 0.0]
    """
    # d may be infinite in a file from elsewhere; what follows from it is no reason to warn.
    with np.errstate(over="ignore", invalid="ignore"):
        return DEQUANTIZED[type](np.ascontiguousarray(blocks))


def codes_and_scales(type: str, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What Q4_0, Q8_0 and MXFP4 store: codes [count, 32], scales float32 [count, 1].

    Codes are uint8 in 0..15, or int8; their meaning is that of lowbit's "int4", "int8" and "mxfp4".

    Examples
    --------
    >>> block = np.array([[0x00, 0x38] + [0x8F] * 16], np.uint8)
    >>> codes, scales = codes_and_scales("Q4_0", block)
    >>> codes[0, 15:17].tolist(), scales.tolist()
    ([15, 8], [[0.5]])
    """
    if type == "MXFP4":
        return nibbles(blocks[:, 1:]), scales_as_floats(blocks[:, :1], "e8m0")
    codes = nibbles(blocks[:, 2:]) if type == "Q4_0" else blocks[:, 2:].view(np.int8)
    return codes, half(blocks, 0)


def half(blocks: np.ndarray, place: int) -> np.ndarray:
    """The fp16 at a byte of every block, as float32 [count, 1]."""
    words = np.ascontiguousarray(blocks[:, place : place + 2])
    return words.view("<f2").astype(np.float32)


def nibbles(packed: np.ndarray) -> np.ndarray:
    """[..., n] bytes as [..., 2 n] codes: all low nibbles, then all high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def scales_and_mins(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 8 scales and 8 minima of 6 bits in 12 bytes: float32 [count, 8, 1] each.

    Bytes 0..3 are the scales 0..3 and bytes 4..7 the minima 0..3, in their lower 6 bits. Bytes
    8..11 have the lower 4 bits of the scales and minima 4..7; the upper 2 are at the top of the
    bytes before.
    """
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    mins = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
    return scales[..., None].astype(np.float32), mins[..., None].astype(np.float32)


def _f32(blocks: np.ndarray) -> np.ndarray:
    return blocks.view("<f4").astype(np.float32, copy=False)


def _f16(blocks: np.ndarray) -> np.ndarray:
    return blocks.view("<f2").astype(np.float32)


def _bf16(blocks: np.ndarray) -> np.ndarray:
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q4_0(blocks: np.ndarray) -> np.ndarray:
    codes, scales = codes_and_scales("Q4_0", blocks)
    return scales * (codes.astype(np.float32) - 8)


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    return half(blocks, 0) * nibbles(blocks[:, 4:]).astype(np.float32) + half(blocks, 2)


def _five_bits(blocks: np.ndarray, place: int) -> np.ndarray:
    """Codes 0..31 from 32 upper bits at `place` and nibbles behind them."""
    upper = np.unpackbits(blocks[:, place : place + 4], axis=1, bitorder="little")
    return (nibbles(blocks[:, place + 4 :]) | upper << 4).astype(np.float32)


def _q5_0(blocks: np.ndarray) -> np.ndarray:
    return half(blocks, 0) * (_five_bits(blocks, 2) - 16)


def _q5_1(blocks: np.ndarray) -> np.ndarray:
    return half(blocks, 0) * _five_bits(blocks, 4) + half(blocks, 2)


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    codes, scales = codes_and_scales("Q8_0", blocks)
    return scales * codes.astype(np.float32)


def _with_minimum(blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Codes [count, 8, 32] of a block that begins with d, dmin and twelve bytes of scales."""
    scales, mins = scales_and_mins(blocks[:, 4:16])
    d, dmin = half(blocks, 0)[..., None] * scales, half(blocks, 2)[..., None] * mins
    return (d * codes.astype(np.float32) - dmin).reshape(-1, 256)


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    return _with_minimum(blocks, nibbles(blocks[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32))


def _q5_k(blocks: np.ndarray) -> np.ndarray:
    """Bit s of byte l of the upper bits belongs to element l of run s."""
    runs = np.arange(8, dtype=np.uint8)[:, None]
    upper = blocks[:, None, 16:48] >> runs & 1
    lower = nibbles(blocks[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    return _with_minimum(blocks, lower | upper << 4)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    """Two halves of 128: 64 bytes of nibbles and 32 bytes with four pairs of upper bits each."""
    lower = nibbles(blocks[:, :128].reshape(-1, 2, 64))
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    upper = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3
    codes = (lower | upper.reshape(-1, 2, 128) << 4).astype(np.float32) - 32
    scales = half(blocks, 208) * blocks[:, 192:208].view(np.int8).astype(np.float32)
    return (scales[..., None] * codes.reshape(-1, 16, 16)).reshape(-1, 256)


def _iq4_nl(blocks: np.ndarray) -> np.ndarray:
    return half(blocks, 0) * IQ4_NL[nibbles(blocks[:, 2:])]


def _mxfp4(blocks: np.ndarray) -> np.ndarray:
    """The scale is 2^(e - 128), half of the exponent's, since the levels are doubled."""
    scale = np.ldexp(np.float32(1), blocks[:, :1].astype(np.int32) - 128)
    return scale * MXFP4[nibbles(blocks[:, 1:])]


DEQUANTIZED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "IQ4_NL": _iq4_nl,
    "MXFP4": _mxfp4,
}
"""What turns the blocks of a type into numbers."""
