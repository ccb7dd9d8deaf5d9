"""Result arrays: memory that is used again, never while someone holds it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from lowbit import _core

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
