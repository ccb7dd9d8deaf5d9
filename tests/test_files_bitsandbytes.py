"""bitsandbytes' state dicts: its codes, its scales, its numbers; and back."""

import json
import math

import numpy as np
import pytest

import lowbit as lb
from golden import load, under
from lowbit.errors import FileFormatError
from lowbit.files import read_safetensors, write_safetensors
from lowbit.files.bitsandbytes_state import from_bitsandbytes, to_bitsandbytes
from lowbit.files.flat_blocks import LEVELS

GOLDEN = load("bitsandbytes_state")
CASES = ("plain", "nested", "part", "spanning", "one_row", "fp4")
PACKED = {"plain": 64, "nested": 64, "part": 32, "one_row": 64, "fp4": 64}
STATE = "weight.quant_state.bitsandbytes__nf4"


def state_of(case: str) -> dict[str, np.ndarray]:
    return {k: v for k, v in under(GOLDEN, f"{case}").items() if k not in ("w", "values")}


def normal(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_numbers_are_those_of_bitsandbytes(case):
    read = from_bitsandbytes(state_of(case), "weight")
    assert isinstance(read, lb.QuantizedMatrix) == (case in PACKED)
    values = read.dequantize() if case in PACKED else read
    assert values.dtype == np.float32
    assert np.array_equal(values, GOLDEN[f"{case}/values"])
    if case in PACKED:
        assert read.group_size == PACKED[case] and read.double_quant == (case in ("nested", "fp4"))


@pytest.mark.parametrize("case", ["plain", "nested", "one_row", "fp4"])
def test_a_state_comes_back_byte_by_byte(case):
    expected = state_of(case)
    described = expected[STATE.replace("nf4", "fp4") if case == "fp4" else STATE]
    dtype = json.loads(described.tobytes())["dtype"]
    written = to_bitsandbytes(from_bitsandbytes(expected, "weight"), "weight", dtype)
    assert written.keys() == expected.keys()
    for name, array in expected.items():
        assert written[name].dtype == array.dtype and written[name].shape == array.shape
        assert written[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("case", ["plain", "nested", "fp4"])
def test_quantize_gives_the_bytes_of_bitsandbytes(case):
    expected = state_of(case)
    kind = "fp4" if case == "fp4" else "nf4"
    q = lb.quantize(GOLDEN[f"{case}/w"], kind, 64, double_quant=case != "plain")
    written = to_bitsandbytes(q, "weight", "float32")
    for name in ("weight", "weight.quant_map"):
        assert np.array_equal(written[name], expected[name])
    if case == "plain":
        assert np.array_equal(written["weight.absmax"], expected["weight.absmax"])
    else:  # its mean of the scales is summed in another order
        differ = written["weight.absmax"] != expected["weight.absmax"]
        assert differ.mean() < 0.01


def test_int8():
    state = state_of("int8")
    q = from_bitsandbytes(state, "weight")
    assert (q.format, q.shape, q.group_size) == ("int8", (9, 70), 70)
    assert np.array_equal(q.codes(), state["weight"])
    np.testing.assert_allclose(q.dequantize(), GOLDEN["int8/values"], rtol=2.4e-7, atol=0)
    assert np.array_equal(lb.quantize(GOLDEN["int8/w"], "int8", None).codes(), state["weight"])
    written = to_bitsandbytes(q, "weight")
    np.testing.assert_allclose(written["SCB"], state["SCB"], rtol=1.2e-7)
    assert np.array_equal(written["weight"], state["weight"]) and written["weight_format"] == 0


def test_int8_scales_nearly_always_come_back():
    scales = np.abs(normal(5000, 1))
    q = lb.QuantizedMatrix.from_codes("int8", np.ones((5000, 3), np.int8), scales, None)
    again = from_bitsandbytes(to_bitsandbytes(q, "a.weight"), "a.weight").scales()
    assert (again == scales).mean() > 0.98
    np.testing.assert_allclose(again, scales, rtol=1.2e-7)


def test_int8_with_a_code_that_lowbit_leaves_out():
    state = {"weight": np.array([[-128, 5]], np.int8), "SCB": np.array([127], np.float32)}
    assert from_bitsandbytes(state, "weight").tolist() == [[-128, 5]]


@pytest.mark.parametrize("shape", [(3, 64), (5, 192), (1, 100), (7, 96), (2, 8192), (1, 33)])
@pytest.mark.parametrize("group_size", [32, 64, 4096, None])
@pytest.mark.parametrize(("kind", "double_quant"), [("nf4", False), ("nf4", True), ("fp4", False)])
def test_numbers_survive_whatever_blocks_are_chosen(shape, group_size, kind, double_quant):
    q = lb.quantize(normal(*shape), kind, group_size, double_quant)
    try:
        state = to_bitsandbytes(q, "a.weight")
    except ValueError as error:
        assert "quantize with a group size" in str(error)
        assert shape[1] % 32
        return
    block = json.loads(state[f"a.weight.quant_state.bitsandbytes__{kind}"].tobytes())["blocksize"]
    assert 32 <= block <= 4096 and block & (block - 1) == 0
    again = from_bitsandbytes(state, "a.weight")
    assert again.dequantize().tobytes() == q.dequantize().tobytes()


def test_through_a_file(tmp_path):
    q = lb.quantize(normal(8, 128), "nf4", 64, double_quant=True)
    write_safetensors(tmp_path / "a", to_bitsandbytes(q, "layer.weight"))
    tensors = read_safetensors(tmp_path / "a")
    again = from_bitsandbytes(tensors, "layer.weight", str(tmp_path / "a"))
    assert again.double_quant and again.dequantize().tobytes() == q.dequantize().tobytes()


def test_codes_stored_in_a_wider_type():
    state = state_of("plain")
    state["weight"] = state["weight"].reshape(-1).view(np.uint16)
    assert np.array_equal(from_bitsandbytes(state, "weight").dequantize(), GOLDEN["plain/values"])


def described(**changes) -> np.ndarray:
    base = {"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [6, 128]}
    return np.frombuffer(json.dumps(base | changes).encode(), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({STATE: None}, "needs SCB beside it or one of quant_state.bitsandbytes__nf4"),
        ({"weight.absmax": None}, "there is no 'weight.absmax'"),
        ({"weight.quant_map": None}, "there is no 'weight.quant_map'"),
        ({"weight.absmax": np.ones(11, "f4")}, r"float32 of shape \(12,\); got .* \(11,\)"),
        ({"weight.absmax": np.ones(12, "f2")}, "got float16"),
        ({"weight.absmax": np.full(12, np.nan, "f4")}, "has NaN or infinity"),
        ({"weight.quant_map": np.ones(16, "f4")}, "has not the levels of nf4"),
        ({"weight": np.ones(100, np.uint8)}, "take 384 bytes; got 100"),
        ({STATE: np.ones(3, "f4")}, "must be JSON"),
        ({STATE: np.frombuffer(b"[1]", np.uint8)}, "must be a JSON object"),
        ({STATE: np.frombuffer(b"{", np.uint8)}, "not JSON"),
        ({STATE: described(shape=[1 << 60, 1 << 60])}, "shape must be two sizes"),
        ({STATE: described(shape=[1 << 39, 1 << 39])}, "take 151115727451828646838272 bytes"),
        ({STATE: described(shape=[768])}, "shape must be two sizes"),
        ({STATE: described(shape=None)}, "shape must be two sizes"),
        ({STATE: described(blocksize=0)}, "blocksize must be a size from 1; got 0"),
        ({STATE: described(blocksize="64")}, "blocksize"),
        ({"weight.nested_absmax": np.ones(1, "f4")}, "absmax must be uint8 of shape"),
        ({"SCB": np.ones(6, "f4")}, "must be int8 with 2 dimensions; got uint8"),
    ],
)
def test_broken_states_are_named(changes, message):
    state = {k: v for k, v in (state_of("plain") | changes).items() if v is not None}
    with pytest.raises(FileFormatError, match=message):
        from_bitsandbytes(state, "weight", "file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nested_blocksize": 0}, "nested_blocksize must be a size"),
        ({"nested_offset": "1"}, "nested_offset must be a number"),
        ({"nested_offset": 10**400}, "nested_offset must be a number"),
        ({"nested_blocksize": 128}, r"nested_absmax' must be float32 of shape \(3,\)"),
    ],
)
def test_broken_nested_states_are_named(changes, message):
    state = state_of("nested")
    old = json.loads(state[STATE].tobytes())
    state[STATE] = np.frombuffer(json.dumps(old | changes).encode(), np.uint8)
    with pytest.raises(FileFormatError, match=message):
        from_bitsandbytes(state, "weight")


def test_other_levels_of_scales_are_computed_with():
    state = state_of("nested")
    state["weight.nested_quant_map"] = np.linspace(-1, 1, 256, dtype=np.float32)
    q = from_bitsandbytes(state, "weight")
    offset = json.loads(state[STATE].tobytes())["nested_offset"]
    blocks = np.arange(320) // 256
    levels = state["weight.nested_quant_map"][state["weight.absmax"]]
    expected = levels * state["weight.nested_absmax"][blocks] + np.float32(offset)
    assert not q.double_quant and np.array_equal(q.scales().reshape(-1), expected)


def test_what_bitsandbytes_cannot_hold_is_refused():
    w = normal(4, 64)
    with pytest.raises(ValueError, match="has no int4; quantize to nf4"):
        to_bitsandbytes(lb.quantize(w, "int4"), "weight")
    with pytest.raises(ValueError, match="has no int8 with zero points"):
        to_bitsandbytes(lb.quantize(w, "int8", None, symmetric=False), "weight")
    with pytest.raises(ValueError, match="one scale a row there; got groups of 32"):
        to_bitsandbytes(lb.quantize(w, "int8", 32), "weight")
    with pytest.raises(ValueError, match="blocks of 16; 32 to 4096 are known"):
        to_bitsandbytes(lb.quantize(w, "nf4", 16), "weight")
    with pytest.raises(ValueError, match="dtype='int8'; use float16"):
        to_bitsandbytes(lb.quantize(w), "weight", "int8")
    with pytest.raises(KeyError):
        from_bitsandbytes({}, "weight")


@pytest.mark.parametrize("shape", [(0, 64), (3, 0)])
def test_matrices_without_numbers(shape):
    for format in ("nf4", "fp4", "int8"):
        q = lb.quantize(np.zeros(shape, np.float32), format, None)
        state = to_bitsandbytes(q, "weight")
        assert math.prod(state["weight"].shape) == 0
        assert from_bitsandbytes(state, "weight").dequantize().shape == shape


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("shape", [[1 << 39, 0], [0, 1 << 39], [1, 2]])
def test_sizes_without_numbers_take_no_memory(kind, shape):
    count = math.prod(shape)
    state = {"weight": np.zeros(-(-count // 2), np.uint8)}
    state["weight.absmax"] = np.ones(min(count, 1), np.float32)
    state["weight.quant_map"] = LEVELS[kind]
    text = described(shape=shape, blocksize=1 << 39)
    read = from_bitsandbytes(state | {f"weight.quant_state.bitsandbytes__{kind}": text}, "weight")
    assert read.shape == tuple(shape)
