"""fastText's .ftz files: quantized rows, n-grams that were pruned; broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from golden import load, under

SIZES_AT = 64  # bytes, of int32 entries, words, labels, int64 tokens, n-grams that are left
KINDS = ["pruned", "whole"]


@pytest.fixture(params=KINDS)
def golden(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """A file and what fastText itself read from it."""
    return under(load("fasttext_quantized"), request.param)


@pytest.mark.parametrize("mmap", [False, True])
def test_vectors_are_those_of_fasttext(golden: dict, mmap: bool, here: Path) -> None:
    Path("a.ftz").write_bytes(golden["file"].tobytes())
    wv = lb.WordVectors.load("a.ftz", mmap=mmap)
    assert wv.words == golden["words"].tolist()
    assert wv.vectors.dtype == np.float32 and np.abs(golden["vectors"]).max() > 0.01
    for word, expected in zip(golden["asked"].tolist(), golden["vectors"], strict=True):
        np.testing.assert_allclose(wv.get(word, np.zeros(5)), expected, atol=1e-6)


def test_what_was_pruned_is_left_out_of_means(here: Path) -> None:
    arrays = under(load("fasttext_quantized"), "pruned")
    Path("a.ftz").write_bytes(arrays["file"].tobytes())
    wv = lb.WordVectors.load("a.ftz")
    assert wv.subwords.pruned and 0 < len(wv.subwords.buckets) < 400
    with pytest.raises(ValueError, match="n-grams of these vectors were pruned"):
        wv.save("b.bin", "fasttext")
    wv.save("b.safetensors")
    np.testing.assert_array_equal(lb.WordVectors.load("b.safetensors").vectors, wv.vectors)


def test_a_file_that_is_whole_can_be_written_unquantized(here: Path) -> None:
    arrays = under(load("fasttext_quantized"), "whole")
    Path("a.ftz").write_bytes(arrays["file"].tobytes())
    wv = lb.WordVectors.load("a.ftz")
    wv.save("b.bin", "fasttext")
    again = lb.WordVectors.load("b.bin")
    for word in arrays["asked"].tolist():
        np.testing.assert_array_equal(again[word], wv[word])


def test_broken_files_are_refused(golden: dict, here: Path) -> None:
    path, good = Path("a.ftz"), golden["file"].tobytes()
    words = len(golden["words"])
    pruned = int.from_bytes(good[SIZES_AT + 20 : SIZES_AT + 28], "little", signed=True)
    rows = words + (400 if pruned < 0 else pruned)
    head = good.index(rows.to_bytes(8, "little") + (5).to_bytes(8, "little")) - 1
    codes = int.from_bytes(good[head + 17 : head + 21], "little")
    quantizer = head + 21 + codes
    damages = [
        (head + 1, b"\xff" * 7 + b"\x7f", "expected"),
        (head + 17, b"\xff\xff\xff\x7f", "codes for"),
        (head + 17, b"\0\0\0\0", "codes for"),
        (quantizer, b"\xff\xff\xff\x7f", "are no 5 columns"),
        (quantizer + 4, b"\xff\xff\xff\xff", "are no 5 columns"),
        (quantizer + 8, b"\0\0\0\0", "are no 5 columns"),
        (quantizer + 16, b"\0\0\xc0\x7f" * 512, "infinite or none"),
        (SIZES_AT + 20, b"\xff" * 7 + b"\x7f", "n-grams are left of 400"),
    ]
    if pruned > 0:
        left = head - 1 - 8 * pruned
        damages += [
            (left, good[left + 8 : left + 12], "comes twice"),
            (left, b"\xff\xff\xff\xff", "has no bucket"),
            (left + 4, b"\xff\xff\xff\x7f", "must have a row each"),
        ]
    for begin, data, message in damages:
        path.write_bytes(good[:begin] + data + good[begin + len(data) :])
        with pytest.raises(lb.FileFormatError, match=message):
            lb.WordVectors.load(path)
    for end in (head, head + 10, head + 30, quantizer + 3, quantizer + 100):
        path.write_bytes(good[:end])
        with pytest.raises(lb.FileFormatError, match="ends too early"):
            lb.WordVectors.load(path)
