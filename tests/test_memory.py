"""Result arrays: memory that is used again, never while someone holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from lowbit import _core
from tiny_model import reviews, write_tiny_model

LARGE = (512, 1024)  # 2 MB: from the memory that is kept


def gelu(value: float, shape: tuple[int, int] = LARGE) -> np.ndarray:
    return _core.activation(np.full(shape, value, np.float32))


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmRSS")


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (200, 333), LARGE, (0, 7)])
def test_results_are_aligned_owned_and_writable(shape):
    y = gelu(1.0, shape)
    assert y.shape == shape and y.ctypes.data % 64 == 0 and y.flags.writeable
    y[...] = 2.0


def test_what_is_held_is_never_handed_out_again():
    rng = np.random.default_rng(0)
    held: list[tuple[float, np.ndarray]] = []
    for _ in range(400):
        shape = tuple(int(n) for n in rng.integers(1, 900, 2))
        value = float(rng.standard_normal())
        held.append((value, gelu(value, shape)))
        if len(held) > 12:
            held.pop(int(rng.integers(len(held))))
    for value, y in held:
        assert np.all(y == gelu(value, (1, 1)))


def test_views_keep_the_memory_alive():
    view = gelu(3.0)[7:9, 5:6]
    for _ in range(10):
        gelu(-1.0)
    assert np.all(view == gelu(3.0, (1, 1)))


def test_memory_is_used_again():
    first = gelu(1.0).ctypes.data
    assert gelu(2.0).ctypes.data == first


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_trim_gives_it_back():
    held = [gelu(1.0, (4096, 1024)) for _ in range(8)]  # 128 MB
    del held
    kept = resident_bytes()
    _core.trim_memory()
    assert resident_bytes() < kept - 100e6


def test_threads_and_forked_children_allocate_at_once():
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            gelu(1.0)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        if hasattr(os, "fork"):
            for _ in range(20):
                child = os.fork()
                if child == 0:
                    good = bool(np.all(gelu(0.0) == 0))
                    os._exit(0 if good else 1)
                assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()


GROWTH = """
import json, sys
from pathlib import Path

import lowbit
from lowbit.models import Encoder


def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


folder, format, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
double = format == "nf4"
Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
before = status("VmRSS")
encoder = Encoder.from_pretrained(folder, format, 64, double, format, calibrate=texts or None)
print(json.dumps({"growth": status("VmHWM") - before, "weights": encoder.nbytes}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("format", ["int8", "nf4"])
def test_quantizing_takes_less_than_the_largest_weight_in_floats_and_the_result(
    tmp_path, format, calibrated
):
    """A word table of 41 MB, beside layers whose sums of products are 8 MB."""
    rows, width = 40_000, 256
    folder = write_tiny_model(
        tmp_path / "model", hidden_size=width, intermediate_size=4 * width, vocab_size=rows
    )
    texts = reviews(200)[0] if calibrated else []
    command = [sys.executable, "-c", GROWTH, str(folder), format, json.dumps(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert figures["weights"] < rows * width * 1.5
    assert figures["growth"] < 4 * rows * width + figures["weights"]
