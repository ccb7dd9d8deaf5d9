"""Arrays of any type and shape where weights of other tools are expected: only format errors.

Each case starts from arguments that fit together and replaces some of them.
"""

import json
import random

import numpy as np
import pytest
from damage import CASES, SECONDS

import lowbit as lb
from lowbit.errors import FileFormatError
from lowbit.files import (
    from_awq,
    from_bitsandbytes,
    from_gptq,
    from_matmul_bnb4,
    from_matmul_nbits,
    to_bitsandbytes,
    to_matmul_bnb4,
    to_matmul_nbits,
)

DTYPES = ("u1", "i1", "i4", "u4", "f4", "f2", "f8", "i8", "?")
SIZES = (0, 1, 2, 3, 8, 16, 32, 64)
STATE = "weight.quant_state.bitsandbytes__nf4"
W = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)


def any_value(generator: random.Random, value):
    """Something else in the place of an argument."""
    if isinstance(value, int):
        return generator.choice((*SIZES, -1, 5, 128, 1 << 20, 1 << 39, 1 << 62))
    return any_array(generator, value.dtype.str)


def any_array(generator: random.Random, usual: str) -> np.ndarray:
    """Mostly of the usual type; random bits, so floats have NaN and infinity now and then."""
    dtype = np.dtype(usual if generator.random() < 0.9 else generator.choice(DTYPES))
    shape = [generator.choice(SIZES) for _ in range(generator.choice((0, 1, 2, 2, 2, 3)))]
    bits = np.frombuffer(generator.randbytes(int(np.prod(shape)) * dtype.itemsize), np.uint8)
    if dtype.kind == "b":
        return (bits % 2 == 1).reshape(shape)
    if dtype.kind == "f" and generator.random() < 0.8:
        return np.ones(shape, dtype)
    return bits.view(dtype).reshape(shape)


def state_arguments(double_quant: bool, kind: str = "nf4") -> dict:
    state = to_bitsandbytes(lb.quantize(W, kind, 32, double_quant), "weight")
    state.pop(STATE.replace("nf4", kind))
    return {name.replace("weight.", "_of_"): array for name, array in state.items()}


def bitsandbytes(
    rows: int, cols: int, blocksize: int, nested_blocksize: int, kind: str = "nf4", **tensors
) -> None:
    """Names of tensors have points, which names of arguments cannot have."""
    described = {"shape": [rows, cols], "blocksize": blocksize, "nested_offset": 0.5}
    described["nested_blocksize"] = nested_blocksize
    state = {name.replace("_of_", "weight."): array for name, array in tensors.items()}
    state[STATE.replace("nf4", kind)] = np.frombuffer(json.dumps(described).encode(), np.uint8)
    from_bitsandbytes(state, "weight")


def fp4(**arguments) -> None:
    bitsandbytes(kind="fp4", **arguments)


def int8(**tensors) -> None:
    from_bitsandbytes(tensors, "weight")


def arguments_of(node: dict) -> dict:
    """What readers call the inputs and attributes of a node."""
    names = {"B": "packed", "N": "rows", "K": "cols"}
    return {names.get(name, name): value for name, value in node.items()}


def integers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-(1 << 31), 1 << 31, shape, np.int32)


def matmul_nbits(rows: int, **arguments) -> None:
    from_matmul_nbits(**arguments)


SCALES = np.ones((2, 16), np.float16)
SHAPE = {"rows": 3, "cols": 64, "blocksize": 32, "nested_blocksize": 256}
EIGHT = to_bitsandbytes(lb.quantize(W, "int8", None), "weight")
GOOD = {
    "bitsandbytes": (bitsandbytes, SHAPE | state_arguments(False)),
    "bitsandbytes nested": (bitsandbytes, SHAPE | state_arguments(True)),
    "bitsandbytes fp4": (fp4, SHAPE | state_arguments(True, "fp4")),
    "bitsandbytes int8": (int8, EIGHT),
    "MatMulNBits": (
        matmul_nbits,
        arguments_of(to_matmul_nbits(lb.quantize(W, "int4", 32)))
        | {"zero_points": np.full((3, 1), 0x88, np.uint8)},
    ),
    "MatMulNBits of 8 bits": (
        matmul_nbits,
        arguments_of(to_matmul_nbits(lb.quantize(W, "int8", 32, symmetric=False))),
    ),
    "MatMulBnb4": (
        from_matmul_bnb4,
        arguments_of(to_matmul_bnb4(lb.quantize(W, "nf4", 32))),
    ),
    "GPTQ": (
        from_gptq,
        {"qweight": integers(8, 16), "qzeros": integers(2, 2), "scales": SCALES}
        | {"g_idx": np.arange(64) // 32, "bits": 4, "group_size": 32},
    ),
    "AWQ": (
        from_awq,
        {"qweight": integers(64, 2), "qzeros": integers(2, 2), "scales": SCALES},
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_any_arrays_only_raise_format_errors(alarm, name):
    read, good = GOOD[name]
    read(**good)
    refused = 0
    for seed in range(CASES * 3):
        generator = random.Random(seed)
        changes = generator.sample(sorted(good), generator.choice((1, 1, 2)))
        alarm(SECONDS)
        try:
            read(**(good | {key: any_value(generator, good[key]) for key in changes}))
        except FileFormatError:
            refused += 1
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        finally:
            alarm(0)
    assert CASES // 3 < refused < CASES * 3
