"""GGUF against gguf-py and, through ctypes, ggml: random blocks, random numbers, whole files."""

import ctypes
import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")

import lowbit as lb  # noqa: E402
from lowbit.files.gguf import TENSOR_TYPES, GgufFile  # noqa: E402
from lowbit.files.gguf_blocks import DEQUANTIZED, dequantize_blocks  # noqa: E402
from lowbit.files.gguf_rounding import QUANTIZED, quantize_blocks  # noqa: E402
from lowbit.files.gguf_writing import write_gguf  # noqa: E402

SIZES = {t.name: (t.elements, t.nbytes) for t in TENSOR_TYPES.values()}
Type = gguf.GGMLQuantizationType
SEEDS = range(4)


@pytest.fixture(scope="module")
def ggml():
    """ggml's own quantizers, out of the package llama-cpp-python."""
    try:
        distribution = importlib.metadata.distribution("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("llama-cpp-python is not installed")
    path = Path(str(distribution.locate_file("llama_cpp/lib/libggml-base.so")))
    if not path.exists():
        pytest.skip(f"no {path.name} in llama-cpp-python")
    return ctypes.CDLL(str(path))


def random_values(seed: int, width: int, count: int = 3000) -> np.ndarray:
    """Sizes from 1e-12 to 5e4, a tenth of them zeros, every fourth run on a coarse grid.

    No run of minus zeros: ggml and gguf-py disagree about the sign of the scale of those.
    """
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((count, width)) * np.exp(generator.normal(0, 4, (count, 1)))
    x[generator.random(x.shape) < 0.1] = 0
    x[::4] = np.round(x[::4] * 2) / 2 + 0.0
    x[:4] = np.arange(-2, 2)[:, None]
    return x.clip(-5e4, 5e4).astype(np.float32)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))).all())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("type", DEQUANTIZED)
def test_random_blocks_have_gguf_py_s_numbers(type, seed):
    elements, nbytes = SIZES[type]
    blocks = np.random.default_rng(seed).integers(0, 256, (2000, nbytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(blocks, Type[type]).reshape(2000, elements)
    assert same_bits(dequantize_blocks(type, blocks), expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("type", [name for name in DEQUANTIZED if SIZES[name][0] > 1])
def test_random_blocks_have_ggml_s_numbers(ggml, type, seed):
    elements, nbytes = SIZES[type]
    blocks = np.random.default_rng(seed).integers(0, 256, (2000, nbytes), dtype=np.uint8)
    read = getattr(ggml, f"dequantize_row_{type.lower().replace('_k', '_K')}")
    read.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    expected = np.empty((len(blocks), elements), np.float32)
    read(blocks.ctypes.data, expected.ctypes.data, expected.size)
    assert same_bits(dequantize_blocks(type, blocks), expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("type", [name for name in QUANTIZED if name != "Q4_K"])
def test_random_numbers_have_gguf_py_s_bytes(type, seed):
    x = random_values(seed, SIZES[type][0])
    expected = gguf.quantize(x, Type[type]).view(np.uint8).reshape(len(x), -1)
    assert np.array_equal(quantize_blocks(type, x), expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("type", ["Q4_0", "Q8_0", "Q4_K", "MXFP4"])
def test_random_numbers_have_ggml_s_bytes(ggml, type, seed):
    x = random_values(seed, SIZES[type][0])
    expected = np.zeros((len(x), SIZES[type][1]), np.uint8)
    write = ggml.ggml_quantize_chunk
    write.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    write(int(Type[type]), x.ctypes.data, expected.ctypes.data, 0, len(x), x.shape[1], None)
    assert np.array_equal(quantize_blocks(type, x), expected)


def test_gguf_reader_reads_what_is_written(tmp_path):
    x = random_values(0, 256, 6)
    w = lb.quantize(x, "int4", 64)
    exact = lb.QuantizedMatrix.from_codes("int4", w.codes(), w.scales().astype("float16"), 64)
    tensors = dict.fromkeys(QUANTIZED, x) | {"packed": exact, "four": x.reshape(3, 2, 8, 32)}
    metadata = {"general.architecture": "llama", "a.texts": ["x", "y"], "a.n": 3, "a.f": 0.5}
    write_gguf(tmp_path / "a.gguf", tensors, metadata, {type: type for type in QUANTIZED})
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert reader.get_field("a.texts").contents() == ["x", "y"]
    assert reader.get_field("a.n").contents() == 3
    file = GgufFile(tmp_path / "a.gguf")
    assert [tensor.name for tensor in reader.tensors] == list(tensors)
    for tensor in reader.tensors:
        assert tuple(tensor.shape[::-1]) == file.tensors[tensor.name].shape
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert same_bits(values, file.read(tensor.name).reshape(values.shape))


def test_what_gguf_writer_writes_is_read(tmp_path):
    x = random_values(1, 256, 4)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    for type in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4", "BF16"):
        writer.add_tensor(type, gguf.quantize(x, Type[type]), raw_dtype=Type[type])
    writer.add_tensor("F16", x.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = GgufFile(tmp_path / "a.gguf")
    for tensor in gguf.GGUFReader(tmp_path / "a.gguf").tensors:
        expected = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert same_bits(file.read(tensor.name), expected)


class InitParams(ctypes.Structure):
    """gguf_init_params: read headers only, make no context."""

    _fields_ = [("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p)]


def test_ggml_opens_what_is_written(ggml, tmp_path):
    x = random_values(2, 256, 6)
    types = {type: type for type in QUANTIZED}
    metadata = {"general.architecture": "llama", "general.alignment": 64, "a.texts": ["x", ""]}
    write_gguf(tmp_path / "a.gguf", dict.fromkeys(QUANTIZED, x), metadata, types)
    ggml.gguf_init_from_file.restype = ctypes.c_void_p
    ggml.gguf_init_from_file.argtypes = [ctypes.c_char_p, InitParams]
    opened = ggml.gguf_init_from_file(str(tmp_path / "a.gguf").encode(), InitParams(True, None))
    assert opened
    for name in ("n_kv", "n_tensors", "alignment", "data_offset"):
        getattr(ggml, f"gguf_get_{name}").argtypes = [ctypes.c_void_p]
        getattr(ggml, f"gguf_get_{name}").restype = ctypes.c_int64
    for name in ("name", "type", "offset", "size"):
        read = getattr(ggml, f"gguf_get_tensor_{name}")
        read.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        read.restype = {"name": ctypes.c_char_p, "type": ctypes.c_int}.get(name, ctypes.c_size_t)
    assert (ggml.gguf_get_n_kv(opened), ggml.gguf_get_n_tensors(opened)) == (3, len(QUANTIZED))
    assert ggml.gguf_get_alignment(opened) == 64
    begin = ggml.gguf_get_data_offset(opened)
    for i, tensor in enumerate(GgufFile(tmp_path / "a.gguf").tensors.values()):
        assert ggml.gguf_get_tensor_name(opened, i).decode() == tensor.name
        assert ggml.gguf_get_tensor_type(opened, i) == int(Type[tensor.type.name])
        assert ggml.gguf_get_tensor_size(opened, i) == tensor.nbytes
        assert begin + ggml.gguf_get_tensor_offset(opened, i) == tensor.begin
    ggml.gguf_free.argtypes = [ctypes.c_void_p]
    ggml.gguf_free(opened)
