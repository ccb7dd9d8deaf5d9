"""The layout of lowbit's own checkpoints: every kind of matrix comes back bit by bit."""

import json

import numpy as np
import pytest

import lowbit as lb
from lowbit.errors import FileFormatError
from lowbit.files import write_safetensors
from lowbit.files.packed_tensors import packed_entries, packed_to_tensors, read_packed
from lowbit.files.safetensors import SafetensorsFile

W = (np.random.default_rng(0).standard_normal((37, 100)) + 0.5).astype(np.float32)
FIRST = [("int8", None, {}), ("int4", 32, {}), ("nf4", 64, {"double_quant": True})]
NEWER = [
    ("fp4", 64, {}),
    ("mxfp4", 32, {}),
    ("int4", 32, {"symmetric": False}),
    ("int8", 32, {"symmetric": False, "double_quant": True}),
    ("int4", 16, {"scale_dtype": "fp16"}),
    ("nf4", None, {"scale_dtype": "bf16"}),
    ("int8", "tensor", {}),
    ("int8", "tensor", {"symmetric": False, "scale_dtype": "fp16"}),
]


def saved(path, matrices, **changes):
    tensors, metadata = packed_to_tensors(matrices)
    fields = json.loads(metadata.get("lowbit.w", "{}")) | changes
    write_safetensors(path, tensors, metadata | {"lowbit.w": json.dumps(fields)})
    return tensors, metadata


@pytest.mark.parametrize(("format", "group_size", "options"), FIRST + NEWER)
def test_a_matrix_comes_back(tmp_path, format, group_size, options):
    q = lb.quantize(W, format, group_size, **options)
    tensors, metadata = saved(tmp_path / "a", {"w": q})
    newer = (format, group_size, options) in NEWER
    assert metadata["lowbit"] == ("2" if newer else "1")  # what older versions read stays as it was
    assert sum(array.nbytes for array in tensors.values()) == q.nbytes - 4 * q.double_quant
    with SafetensorsFile(tmp_path / "a") as file:
        again = read_packed(file, packed_entries(file)["w"])
    assert again.dequantize().tobytes() == q.dequantize().tobytes()
    assert repr(again) == repr(q) and again.parts().keys() == q.parts().keys()


def test_the_first_layout_has_no_new_fields():
    for format, group_size, options in FIRST:
        _, metadata = packed_to_tensors({"w": lb.quantize(W, format, group_size, **options)})
        known = {"format", "rows", "cols", "group_size", "double_quant", "scale_offset"}
        assert json.loads(metadata["lowbit.w"]).keys() <= known


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale_dtype": "fp8"}, "scale_dtype must be one of fp32, fp16, bf16, e8m0"),
        ({"scale_dtype": "fp32"}, "scales is float16"),
        ({"scale_dtype": "e8m0"}, "scales is float16|does not go with"),
        ({"symmetric": 0}, "symmetric must be true or false"),
        ({"format": "nf4"}, "has no zero points"),
        ({"group_size": -1}, "scales has"),
        ({"group_size": -2}, "group_size=-2"),
        ({"double_quant": True, "scale_offset": 0.0}, "scale_codes' is missing"),
    ],
)
def test_a_description_that_does_not_fit_is_named(tmp_path, changes, message):
    q = lb.quantize(W, "int4", 32, scale_dtype="fp16", symmetric=False)
    saved(tmp_path / "a", {"w": q}, **changes)
    with SafetensorsFile(tmp_path / "a") as file, pytest.raises(FileFormatError, match=message):
        read_packed(file, packed_entries(file)["w"])


@pytest.mark.parametrize(("format", "scale_dtype", "bad"), [
    ("int4", "fp16", 0x7C00), ("int4", "bf16", 0x7F80), ("mxfp4", None, 255)
])  # fmt: skip
def test_scales_that_are_no_numbers_are_refused(tmp_path, format, scale_dtype, bad):
    q = lb.quantize(W, format, 32, scale_dtype=scale_dtype)
    tensors, metadata = packed_to_tensors({"w": q})
    scales = tensors["w.scales"]
    scales.view(np.uint8 if bad == 255 else np.uint16)[3] = bad
    write_safetensors(tmp_path / "a", tensors, metadata)
    with (
        SafetensorsFile(tmp_path / "a") as file,
        pytest.raises(FileFormatError, match="scales holds NaN or infinity"),
    ):
        read_packed(file, packed_entries(file)["w"])
