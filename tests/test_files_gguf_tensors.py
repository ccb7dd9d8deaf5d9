"""Tensors of GGUF files: the numbers of gguf-py, the bytes of ggml, and nothing lost in between."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from gguf_writer import text
from golden import load
from lowbit.errors import FileFormatError
from lowbit.files import gguf
from lowbit.files.gguf import TENSOR_TYPES, GgufFile
from lowbit.files.gguf_blocks import DEQUANTIZED, dequantize_blocks
from lowbit.files.gguf_rounding import QUANTIZED, quantize_blocks
from lowbit.files.gguf_writing import write_gguf

GOLDEN = load("gguf_blocks")
BY_NAME = {described.name: (code, described) for code, described in TENSOR_TYPES.items()}
READ = [name.split("/")[1] for name in GOLDEN if name.startswith("blocks/")]
ROUNDED = [name.split("/")[1] for name in GOLDEN if name.startswith("x/")]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal in every bit, but that any NaN equals any other."""
    same = (a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))
    return a.shape == b.shape and bool(same.all())


def file_of_blocks(path, type, shape, blocks):
    """A GGUF file with one tensor "w" of these bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("w")
    head += struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
    head += struct.pack("<IQ", BY_NAME[type][0], 0)
    path.write_bytes(head + bytes(-len(head) % 32) + blocks.tobytes())
    return GgufFile(path)


def test_goldens_have_every_type_with_blocks():
    assert set(READ) | {"F32", "F16", "BF16"} == set(DEQUANTIZED)
    assert set(ROUNDED) | {"F32", "F16", "BF16"} == set(QUANTIZED)


@pytest.mark.parametrize("type", READ)
def test_numbers_of_a_block_are_those_of_gguf_py(type):
    assert same_bits(dequantize_blocks(type, GOLDEN[f"blocks/{type}"]), GOLDEN[f"values/{type}"])


@pytest.mark.parametrize("type", ROUNDED)
def test_bytes_of_a_block_are_those_of_ggml(type):
    assert np.array_equal(quantize_blocks(type, GOLDEN[f"x/{type}"]), GOLDEN[f"rounded/{type}"])


@pytest.mark.parametrize(
    ("type", "error"), [("Q4_0", 0.0872), ("Q8_0", 0.0053), ("Q4_K", 0.0715), ("MXFP4", 0.115)]
)
def test_error_on_normal_values_is_the_known_one(type, error):
    width = BY_NAME[type][1].elements
    x = np.random.default_rng(0).standard_normal((1 << 18, 1)).astype(np.float32).reshape(-1, width)
    rounded = dequantize_blocks(type, quantize_blocks(type, x))
    assert np.sqrt(np.mean((rounded - x) ** 2)) == pytest.approx(error, rel=0.02)


@settings(max_examples=60, deadline=None)
@given(power=st.integers(-20, 15), seed=st.integers(0, 999))
def test_error_of_every_number_is_bounded(power, seed):
    """Half a step and what fp16 takes off the scale; Q4_0 has no code opposite its extreme."""
    x = np.random.default_rng(seed).standard_normal((20, 32)) * 2.0**power
    x = x.clip(-6e4, 6e4).astype(np.float32)
    largest = np.abs(x).max(axis=1, keepdims=True)
    for type, steps, share in (("Q8_0", 127, 0.5), ("Q4_0", 8, 1)):
        # 2^-11 of a number, and half of fp16's smallest step where the scale is below its normals.
        lost = np.abs(x) * 2**-11 + steps * 2.0**-25
        error = np.abs(dequantize_blocks(type, quantize_blocks(type, x)) - x)
        assert (error <= largest / steps * share * 1.0001 + lost * 1.01).all()


@pytest.mark.parametrize("type", READ)
def test_a_tensor_is_read_in_pieces(tmp_path, monkeypatch, type):
    elements, nbytes = BY_NAME[type][1][1:]
    monkeypatch.setattr(gguf, "CHUNK_BYTES", 2 * nbytes + 1)
    file = file_of_blocks(tmp_path / "a", type, (4, 3 * elements), GOLDEN[f"blocks/{type}"])
    expected = GOLDEN[f"values/{type}"].reshape(4, 3 * elements)
    assert same_bits(file.read("w"), expected)


def test_plain_types_are_widened(tmp_path):
    words = np.array([0, 0x8000, 1, 0x3C00, 0x7BFF, 0x7C00, 0xFC00, 0x7E00], np.uint16)
    half = file_of_blocks(tmp_path / "a", "F16", (8,), words)
    assert same_bits(half.read("w"), words.view(np.float16).astype(np.float32))
    brain = file_of_blocks(tmp_path / "b", "BF16", (2, 4), words)
    assert same_bits(
        brain.read("w"), (words.astype(np.uint32) << 16).view(np.float32).reshape(2, 4)
    )
    with pytest.raises(FileFormatError, match="tensor 'w': I32 is not read as float32; F32 F16"):
        file_of_blocks(tmp_path / "c", "I32", (4,), words).read("w")


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 64), (1 << 40, 0)])
def test_a_tensor_without_numbers(tmp_path, shape):
    for type in ("F32", "Q4_0", "Q4_K"):
        rows = shape if type != "Q4_K" else tuple(4 * n for n in shape)
        assert file_of_blocks(tmp_path / "a", type, rows, np.empty(0)).read("w").shape == rows


def test_a_zero_hides_no_impossible_shape(tmp_path):
    with pytest.raises(FileFormatError, match="larger than any memory"):
        file_of_blocks(tmp_path / "a", "F32", (0, 1 << 31, 1 << 31), np.empty(0))
    with pytest.raises(FileFormatError):
        file_of_blocks(tmp_path / "a", "Q8_0", (1 << 45, 0), np.empty(0)).read_quantized("w")


@pytest.mark.parametrize(
    ("type", "format"), [("Q4_0", "int4"), ("Q8_0", "int8"), ("MXFP4", "mxfp4")]
)
def test_quantized_types_are_packed_without_rounding(tmp_path, type, format):
    x = np.random.default_rng(5).standard_normal((37, 96)).astype(np.float32)
    blocks = quantize_blocks(type, x.reshape(-1, 32))
    file = file_of_blocks(tmp_path / "a", type, x.shape, blocks)
    q = file.read_quantized("w")
    assert (q.format, q.group_size, q.shape) == (format, 32, x.shape)
    assert q.nbytes == blocks.size // 37 * 48  # rows are stored by 16
    assert same_bits(q.dequantize(), file.read("w"))
    write_gguf(tmp_path / "b", {"w": q})
    again = GgufFile(tmp_path / "b")
    assert again.tensors["w"].type.name == type
    assert np.array_equal(again.read_bytes("w"), blocks.reshape(-1))


def test_what_cannot_be_packed_is_named(tmp_path):
    blocks = np.zeros((2, 34), np.uint8)
    blocks[1, 5] = 0x80
    file = file_of_blocks(tmp_path / "a", "Q8_0", (1, 64), blocks)
    with pytest.raises(FileFormatError, match=r"codes\[0, 35\] is -128; .*read\(\) gives it"):
        file.read_quantized("w")
    blocks[1, :3] = 0, 0x3C, 1
    assert file_of_blocks(tmp_path / "a", "Q8_0", (1, 64), blocks).read("w")[0, 35] == -128
    blocks[0, 1] = 0x7C
    with pytest.raises(FileFormatError, match=r"scales\[0, 0\] is inf|is -128"):
        file_of_blocks(tmp_path / "a", "Q8_0", (1, 64), blocks).read_quantized("w")
    with pytest.raises(FileFormatError, match="got Q4_1 of shape"):
        q4_1 = np.zeros((2, 20), np.uint8)
        file_of_blocks(tmp_path / "a", "Q4_1", (1, 64), q4_1).read_quantized("w")
    with pytest.raises(FileFormatError, match=r"of shape \(64,\)"):
        file_of_blocks(tmp_path / "a", "Q8_0", (64,), blocks).read_quantized("w")
    with pytest.raises(KeyError):
        file.read("v")


def test_a_file_that_became_shorter(tmp_path):
    file = file_of_blocks(tmp_path / "a", "Q8_0", (1, 64), np.zeros((2, 34), np.uint8))
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-1])
    for read in (file.read, file.read_quantized, file.read_bytes):
        with pytest.raises(FileFormatError, match="ends too early"):
            read("w")


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 20), blocks=st.integers(1, 4), seed=st.integers(0, 99))
def test_round_trip_of_groups_of_any_size(tmp_path_factory, rows, blocks, seed):
    generator = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("gguf") / "a"
    cols = 32 * blocks
    for group_size in (32, 64, None):
        width = min(group_size or cols, cols)
        scales = generator.standard_normal((rows, -(-cols // width))).astype(np.float16)
        codes = generator.integers(0, 16, (rows, cols))
        q = lb.QuantizedMatrix.from_codes("int4", codes, scales, group_size)
        eight = lb.QuantizedMatrix.from_codes("int8", codes * 16 - 120, scales, group_size)
        write_gguf(path, {"w": q, "v": eight})
        file = GgufFile(path)
        for name, matrix in (("w", q), ("v", eight)):
            assert np.array_equal(file.read_quantized(name).codes(), matrix.codes())
            assert same_bits(file.read(name), matrix.dequantize())


def test_metadata_and_arrays_come_back(tmp_path):
    metadata = {
        "general.architecture": "llama",
        "general.alignment": 64,
        "a.flag": True,
        "a.negative": -3,
        "a.large": 1 << 40,
        "a.lower": -(1 << 40),
        "a.float": 0.5,
        "a.double": np.float64(0.1),
        "a.byte": np.uint8(7),
        "a.texts": ["one", "", "\u00fc"],
        "a.nothing": [],
        "a.floats": np.linspace(0, 1, 3),
    }
    tensors = {
        "w": np.arange(6, dtype=np.float64).reshape(2, 3),
        "half": np.array([[[1e-8, -0.0, 65504]]], np.float16),
        "brain": np.array([1.0, np.nan, np.inf], np.float32),
    }
    write_gguf(tmp_path / "a", tensors, metadata, {"half": "F16", "brain": "BF16"})
    file = GgufFile(tmp_path / "a")
    assert list(file.metadata) == list(metadata)
    for key, item in metadata.items():
        assert np.array_equal(file.metadata[key], item)
    for name, array in tensors.items():
        assert same_bits(file.read(name), array.astype(np.float32))
        assert file.tensors[name].begin % 64 == 0


@pytest.mark.parametrize("shape", [(0, 256), (3, 0), (0,)])
def test_tensors_without_numbers_are_written(tmp_path, shape):
    tensors = {type: np.zeros(shape, np.float32) for type in QUANTIZED}
    if len(shape) == 2:
        tensors |= {"int8": lb.quantize(tensors["F32"], "int8", 32)}
    write_gguf(tmp_path / "a", tensors, types={type: type for type in QUANTIZED})
    file = GgufFile(tmp_path / "a")
    for name in tensors:
        assert file.read(name).shape == shape


def test_other_dtypes_and_strides_are_written(tmp_path):
    w = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    whole = np.arange(-8, 8, dtype=np.int16).reshape(2, 8)
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    tensors = {"half": w.astype(np.float16), "columns": w.T, "every": w[::2, ::-1], "whole": whole}
    tensors |= {"brain": w.astype(bfloat16), "list": [[1, 2]], "flipped": w.astype(">f8")}
    write_gguf(tmp_path / "a", tensors)
    file = GgufFile(tmp_path / "a")
    for name, array in tensors.items():
        assert np.array_equal(file.read(name), np.asarray(array).astype(np.float32))


@pytest.mark.parametrize(
    ("tensors", "metadata", "types", "error", "message"),
    [
        ({"w": np.ones((2, 48))}, {}, {"w": "Q4_0"}, ValueError, "rows of 48 are no whole blocks"),
        ({"w": np.ones((2, 32))}, {}, {"w": "Q4_K"}, ValueError, "blocks of 256"),
        ({"w": np.ones((2, 32))}, {}, {"w": "Q5_0"}, ValueError, "'Q5_0' is not written; F32 F16"),
        ({"w": np.ones(3)}, {}, {"v": "F16"}, ValueError, "types names 'v'"),
        ({"w": np.full(3, 1e6)}, {}, {"w": "F16"}, ValueError, "1e.06 is beyond the 65504"),
        (
            {"w": np.full((2, 32), np.nan)},
            {},
            {"w": "Q8_0"},
            ValueError,
            "number 0 of block 0 is nan",
        ),
        ({"w": np.full((2, 256), np.inf)}, {}, {"w": "Q4_K"}, ValueError, "is inf; not finite"),
        (
            {"w": np.full((2, 256), -6e7)},
            {},
            {"w": "Q4_K"},
            ValueError,
            "scale of .* is beyond the 655",
        ),
        ({"w": np.full((2, 256), 1e20)}, {}, {"w": "Q4_K"}, ValueError, "1e.20 is beyond the 6.19"),
        ({"w": np.array(1.0)}, {}, {}, ValueError, "1 to 4 dimensions"),
        ({"w" * 64: np.ones(3)}, {}, {}, ValueError, "64 bytes; 1 to 63 fit"),
        ({"": np.ones(3)}, {}, {}, ValueError, "0 bytes"),
        ({"w": np.array(["a"])}, {}, {}, TypeError, "dtype"),
        ({}, {"a": None}, {}, TypeError, "'a': GGUF has no type for this NoneType"),
        ({}, {"a": [1, 2]}, {}, TypeError, "list; pass str"),
        ({}, {"a": 1 << 70}, {}, TypeError, "no type"),
        ({}, {"general.alignment": 24}, {}, ValueError, "power of 2"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, tensors, metadata, types, error, message):
    (tmp_path / "a").write_text("old")
    with pytest.raises(error, match=message):
        write_gguf(tmp_path / "a", tensors, metadata, types)
    assert (tmp_path / "a").read_text() == "old"


def test_a_packed_matrix_is_written_exactly_or_not_at_all(tmp_path):
    w = np.random.default_rng(3).standard_normal((5, 64)).astype(np.float32)

    def write(matrix, **types):
        write_gguf(tmp_path / "a", {"w": matrix}, types=types)

    q = lb.quantize(w, "int4", 32)
    with pytest.raises(ValueError, match="its scales are not exact in Q4_0's fp16; quantize"):
        write(q)
    rounded = q.scales().astype("float16")
    write(lb.QuantizedMatrix.from_codes(q.format, q.codes(), rounded, q.group_size))
    with pytest.raises(ValueError, match="nf4 cannot be written as any type of GGUF"):
        write(lb.quantize(w, "nf4"))
    with pytest.raises(ValueError, match="int4 cannot be written as Q8_0"):
        write(q, w="Q8_0")
    with pytest.raises(ValueError, match="groups 16"):
        write(lb.quantize(w, "int8", 16))
    with pytest.raises(ValueError, match="rows have 40"):
        write(lb.quantize(w[:, :40], "int8", 32))
