"""The safetensors reader and writer: what the format allows, and what must be refused."""

import json
import os
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lowbit.errors import FileFormatError
from lowbit.files.safetensors import (
    STORED_AS,
    SafetensorsFile,
    read_safetensors,
    write_safetensors,
)

GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def raw(header, data=b"", length=None) -> bytes:
    """A file from its parts; `header` may be bytes to break the JSON itself."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**changes) -> dict:
    return {"w": {**GOOD, **changes}}


# name: (bytes of the file, what the message must say)
HOSTILE = {
    "empty": (b"", "at least 8 bytes"),
    "seven bytes": (b"\0" * 7, "at least 8 bytes"),
    "header longer than file": (raw(b"{}", length=1000), "past the end"),
    "header of 2^63 bytes": (raw(b"{}", length=1 << 63), "header length"),
    "header over the limit": (raw(b"{}", length=100_000_001), "header length"),
    "header of no bytes": (raw(b""), "must start with"),
    "leading space": (raw(b" {}"), "must start with"),
    "a list": (raw(b"[]"), "must start with"),
    "not JSON": (raw(b"{oops}"), "not JSON"),
    "not UTF-8": (raw(b'{"\xff": 1}'), "not UTF-8"),
    "two objects": (raw(b"{}{}"), "not JSON"),
    "key twice": (
        raw(b'{"w":%s,"w":%s}' % ((json.dumps(GOOD).encode(),) * 2), b"\0" * 24),
        "'w' occurs twice",
    ),
    "field twice": (
        raw(b'{"w":{"dtype":"U8","dtype":"I8","shape":[],"data_offsets":[0,1]}}', b"\0"),
        "'dtype' occurs twice",
    ),
    "nested deeply": (raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deeply"),
    "very many values": (raw(b'{"a":[' + b"[]," * 4_000_001 + b"[]]}"), "more than"),
    "number too long": (raw(b'{"a":' + b"9" * 5000 + b"}"), "number is too long"),
    "half a surrogate": (raw(b'{"\\ud800":{}}'), "surrogate"),
    "infinity": (raw(b'{"w":Infinity}'), "Infinity"),
    "metadata of numbers": (raw({"__metadata__": {"a": 1}}), "__metadata__"),
    "metadata a list": (raw({"__metadata__": []}), "__metadata__"),
    "entry a number": (raw({"w": 3}), "needs exactly"),
    "field missing": (raw({"w": {"dtype": "F32", "shape": [0]}}), "needs exactly"),
    "field too many": (raw(entry(more=1), b"\0" * 24), "needs exactly"),
    "empty name": (raw({"": GOOD}, b"\0" * 24), "tensor name of 0"),
    "long name": (raw({"n" * 5000: GOOD}, b"\0" * 24), "tensor name of 5000"),
    "unknown dtype": (raw(entry(dtype="F31"), b"\0" * 24), "unknown dtype 'F31'"),
    "dtype a list": (raw(entry(dtype=["F32"]), b"\0" * 24), "unknown dtype"),
    "negative size": (raw(entry(shape=[-2, -3]), b"\0" * 24), "shape must be"),
    "fractional size": (raw(entry(shape=[2.0, 3]), b"\0" * 24), "shape must be"),
    "true as size": (raw(entry(shape=[True, 6]), b"\0" * 24), "shape must be"),
    "shape a string": (raw(entry(shape="23"), b"\0" * 24), "shape must be"),
    "shape of 33 dimensions": (raw(entry(shape=[1] * 33), b"\0" * 24), "shape must be"),
    "product overflows": (raw(entry(shape=[1 << 62, 1 << 62]), b"\0" * 24), "larger than any"),
    "product wraps to 24": (raw(entry(shape=[(1 << 62) + 6, 1]), b"\0" * 24), "larger than any"),
    "overflow behind a zero": (
        raw(entry(shape=[0, 1 << 62, 1 << 62], data_offsets=[0, 0])),
        "larger than any",
    ),
    "shape and bytes differ": (raw(entry(shape=[2, 4]), b"\0" * 24), "takes 32 bytes"),
    "offsets reversed": (raw(entry(data_offsets=[24, 0]), b"\0" * 24), "data_offsets must"),
    "offset negative": (raw(entry(data_offsets=[-24, 0]), b"\0" * 24), "data_offsets must"),
    "three offsets": (raw(entry(data_offsets=[0, 24, 24]), b"\0" * 24), "data_offsets must"),
    "offset past 2^63": (raw(entry(data_offsets=[0, 1 << 64])), "data_offsets must"),
    "gap at the start": (raw(entry(data_offsets=[8, 32]), b"\0" * 32), "leaves a gap"),
    "gap between": (
        raw({"a": GOOD, "b": {**GOOD, "data_offsets": [28, 52]}}, b"\0" * 52),
        "leaves a gap",
    ),
    "overlap": (raw({"a": GOOD, "b": GOOD}, b"\0" * 24), "overlaps"),
    "data cut": (raw(entry(), b"\0" * 23), "the file has"),
    "data too long": (raw(entry(), b"\0" * 25), "the file has"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_reader_refuses_hostile_file(tmp_path, name):
    content, message = HOSTILE[name]
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=re.escape(message)) as caught:
        SafetensorsFile(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_reader_survives_memory_bomb_in_header(tmp_path):
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(raw(b'{"a":[' + b"[]," * 20_000_000 + b"[]]}"))
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        SafetensorsFile(path)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


def test_reader_refuses_pipe_without_hanging(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFormatError, match="not a regular file"):
        SafetensorsFile(tmp_path / "pipe")


def test_reader_raises_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        SafetensorsFile(tmp_path / "absent.safetensors")


def test_read_reports_file_cut_after_opening(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"w": np.ones(1000, np.float32)})
    with SafetensorsFile(path) as file:
        os.truncate(path, 2000)
        with pytest.raises(FileFormatError, match=r"'w'.*too early"):
            file.read("w")


def test_read_refuses_bool_that_is_neither(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw(entry(dtype="BOOL", shape=[2], data_offsets=[0, 2]), b"\1\2"))
    with SafetensorsFile(path) as file, pytest.raises(FileFormatError, match="BOOL"):
        file.read("w")


def test_read_refuses_integers_as_float32(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"w": np.ones(3, np.int64)})
    with SafetensorsFile(path) as file, pytest.raises(FileFormatError, match="got I64"):
        file.read("w", float32=True)


def test_read_unknown_name_is_key_error(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {})
    with SafetensorsFile(path) as file, pytest.raises(KeyError):
        file.read("w")


@pytest.mark.parametrize("dtype", sorted(STORED_AS))
def test_every_dtype_reads_its_bytes(tmp_path, dtype):
    stored = STORED_AS[dtype]
    data = (np.arange(6 * stored.itemsize) % 2).astype(np.uint8).tobytes()
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw(entry(dtype=dtype, data_offsets=[0, len(data)]), data))
    array = read_safetensors(path)["w"]
    assert array.shape == (2, 3) and array.flags.c_contiguous and array.flags.writeable
    assert array.tobytes() == data


def test_bfloat16_widens_exactly(tmp_path):
    codes = np.arange(1 << 16, dtype=np.uint16)
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"w": codes, "codes": codes}, bfloat16=["w"])
    with SafetensorsFile(path) as file:
        assert (file.tensors["w"].dtype, file.tensors["codes"].dtype) == ("BF16", "U16")
        wide = file.read("w", float32=True)
        np.testing.assert_array_equal(file.read("w"), codes)
    np.testing.assert_array_equal(wide.view(np.uint32), codes.astype(np.uint32) << 16)


def test_float32_conversion_crosses_chunks(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 70_001))
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"d": values, "h": values.astype(np.float16)})
    arrays = read_safetensors(path, float32=True)
    np.testing.assert_array_equal(arrays["d"], values.astype(np.float32))
    np.testing.assert_array_equal(arrays["h"], values.astype(np.float16).astype(np.float32))


def test_read_needs_memory_for_one_tensor_only(tmp_path):
    path = tmp_path / "a.safetensors"
    big = np.ones(1 << 20, np.float16)
    write_safetensors(path, {f"t{i}": big for i in range(8)})
    tracemalloc.start()
    with SafetensorsFile(path) as file:
        for name in file.tensors:
            file.read(name, float32=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 4 MB result; the one before it lives until the assignment is over.
    assert peak < 10e6


ARRAYS = hnp.arrays(
    st.sampled_from([d for n, d in STORED_AS.items() if n != "C64"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
NAMES = st.text(min_size=1, max_size=20).filter(
    lambda name: name != "__metadata__" and name.isprintable()
)


@settings(max_examples=60, deadline=None)
@given(tensors=st.dictionaries(NAMES, ARRAYS, max_size=5))
def test_write_then_read_gives_the_same_bits(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("roundtrip") / "a.safetensors"
    write_safetensors(path, tensors)
    arrays = read_safetensors(path)
    assert set(arrays) == set(tensors)
    for name, array in tensors.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


def test_write_is_deterministic_and_aligned(tmp_path):
    tensors = {"b": np.ones(3, np.int8), "a": np.ones(3, np.float64), "c": np.ones(1, np.float32)}
    write_safetensors(tmp_path / "1", tensors)
    write_safetensors(tmp_path / "2", dict(reversed(tensors.items())))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    with SafetensorsFile(tmp_path / "1") as file:
        assert list(file.tensors) == ["a", "c", "b"]
        assert all(t.begin % STORED_AS[t.dtype].itemsize == 0 for t in file.tensors.values())
        assert file.metadata == {"format": "pt"}


def test_write_keeps_strided_and_big_endian_values(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_safetensors(tmp_path / "a", {"t": array.T, "b": array.astype(">f4")})
    arrays = read_safetensors(tmp_path / "a")
    np.testing.assert_array_equal(arrays["t"], array.T)
    np.testing.assert_array_equal(arrays["b"], array)


@pytest.mark.parametrize(
    ("tensors", "options", "error"),
    [
        ({"w": [1, 2]}, {}, TypeError),
        ({"w": np.array(["a"])}, {}, TypeError),
        ({"w": np.array([None])}, {}, TypeError),
        ({"": np.ones(1)}, {}, ValueError),
        ({"__metadata__": np.ones(1)}, {}, ValueError),
        ({"w": np.ones(1)}, {"metadata": {"a": 1}}, TypeError),
        ({"w": np.ones(1)}, {"bfloat16": ["v"]}, ValueError),
        ({"w": np.ones(1)}, {"bfloat16": ["w"]}, TypeError),
        ({"\ud800": np.ones(1)}, {}, ValueError),
    ],
)
def test_write_refuses_before_touching_the_old_file(tmp_path, tensors, options, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(error):
        write_safetensors(path, tensors, **options)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F64"])
def test_runs_of_rows_are_those_of_the_whole(tmp_path, dtype):
    values = np.random.default_rng(0).standard_normal((7, 3, 2))
    kind = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "F64": np.float64}[dtype]
    codes = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    tensors = {"before": np.zeros(5, kind), "w": codes if dtype == "BF16" else values.astype(kind)}
    write_safetensors(tmp_path / "a", tensors, bfloat16=[*tensors] if dtype == "BF16" else [])
    with SafetensorsFile(tmp_path / "a") as file:
        assert file.tensors["w"].dtype == dtype
        whole = file.read("w", float32=True)
        for rows in ((0, 7), (2, 5), (6, 7), (3, 3), (7, 7)):
            part = file.read("w", float32=True, rows=rows)
            np.testing.assert_array_equal(part, whole[slice(*rows)])
        for rows in ((-1, 2), (2, 8), (4, 3)):
            with pytest.raises(IndexError, match="w has 7 rows"):
                file.read("w", rows=rows)
