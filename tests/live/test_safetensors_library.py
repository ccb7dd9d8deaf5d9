"""Our safetensors reader and writer against the safetensors library."""

import warnings

import numpy as np
import pytest

from lowbit.errors import FileFormatError
from lowbit.files.safetensors import STORED_AS, SafetensorsFile, read_safetensors, write_safetensors
from test_files_safetensors import HOSTILE

safetensors = pytest.importorskip("safetensors")
numpy_library = pytest.importorskip("safetensors.numpy")

DTYPES = [d for name, d in STORED_AS.items() if name not in ("BF16", "C64") and "F8" not in name]


def some_tensors() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = [(), (0,), (3,), (2, 3), (4, 0, 2), (2, 1, 3, 2)]
    return {
        f"{dtype.name}.{i}": np.asarray(generator.integers(0, 2, shape)).astype(dtype)
        for dtype in DTYPES
        for i, shape in enumerate(shapes)
    }


def test_library_reads_our_files(tmp_path):
    tensors = some_tensors()
    write_safetensors(tmp_path / "a", tensors, {"format": "pt", "note": "caf\u00e9"})
    theirs = numpy_library.load_file(tmp_path / "a")
    assert theirs.keys() == tensors.keys()
    for name, array in tensors.items():
        assert theirs[name].dtype == array.dtype
        np.testing.assert_array_equal(theirs[name], array)
    with safetensors.safe_open(tmp_path / "a", "np") as file:
        assert file.metadata() == {"format": "pt", "note": "caf\u00e9"}


def test_we_read_files_of_the_library(tmp_path):
    tensors = some_tensors()
    numpy_library.save_file(tensors, tmp_path / "a", {"format": "np"})
    ours = read_safetensors(tmp_path / "a")
    assert ours.keys() == tensors.keys()
    for name, array in tensors.items():
        assert ours[name].dtype == array.dtype
        np.testing.assert_array_equal(ours[name], array)


def test_same_bytes_as_the_library(tmp_path):
    tensors = {"w": np.ones((2, 3), np.float32), "b": np.zeros(3, np.float32)}
    write_safetensors(tmp_path / "ours", tensors)
    numpy_library.save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_bfloat16_as_torch_has_it(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    values = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"w": values}, tmp_path / "theirs")
    wide = read_safetensors(tmp_path / "theirs", float32=True)["w"]
    np.testing.assert_array_equal(wide, values.float().numpy())
    codes = read_safetensors(tmp_path / "theirs")["w"]
    write_safetensors(tmp_path / "ours", {"w": codes}, bfloat16=["w"])
    assert torch.equal(load_file(tmp_path / "ours")["w"], values)


# What the library lets through although the format forbids it, or what only we limit.
STRICTER = {
    "leading space",
    "overflow behind a zero",
    "key twice",
    "field twice",
    "field too many",
    "empty name",
    "long name",
    "shape of 33 dimensions",
}


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - STRICTER))
def test_library_refuses_the_same_hostile_files(tmp_path, name):
    (tmp_path / "a").write_bytes(HOSTILE[name][0])
    with pytest.raises(FileFormatError):
        SafetensorsFile(tmp_path / "a")
    with warnings.catch_warnings(), pytest.raises(safetensors.SafetensorError):
        warnings.simplefilter("ignore")
        with safetensors.safe_open(tmp_path / "a", "np"):
            pass
