"""Fixtures that every test file may use."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from lowbit import _core

REPOSITORY = Path(__file__).resolve().parent.parent


def find_shared_data() -> Path | None:
    """Folder with real tokenizers, corpora and sentences, or None where it is not installed."""
    named = os.environ.get("LOWBIT_SHARED_DATA")
    candidates = [Path(named)] if named else []
    candidates += [REPOSITORY.parent / "shared" / "data"]
    return next((path for path in candidates if path.is_dir()), None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data folder; tests that need it are skipped where it is missing."""
    path = find_shared_data()
    if path is None:
        pytest.skip("shared data not found; set LOWBIT_SHARED_DATA to its folder")
    return path


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of the real all-MiniLM-L6-v2; tests that need it are skipped where it is missing."""
    from lowbit.files import find_bundled_model

    try:
        return find_bundled_model()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn; the one in use comes back afterwards."""
    before = _core.active_isa()
    _core.use_isa(request.param)
    yield request.param
    _core.use_isa(before)


@pytest.fixture
def restore_threads() -> Iterator[None]:
    """The number of threads comes back afterwards."""
    before = _core.get_num_threads()
    yield
    _core.set_num_threads(before)


@pytest.fixture
def same_bits(restore_threads: None) -> Callable[[Callable[[], Sequence[np.ndarray]]], None]:
    """A check that `run` returns arrays of the same bits with 1, 2, 3 and 7 threads."""

    def check(run: Callable[[], Sequence[np.ndarray]]) -> None:
        results = []
        for threads in (1, 2, 3, 7):
            _core.set_num_threads(threads)
            results.append(b"".join(array.tobytes() for array in run()))
        assert len(set(results)) == 1

    return check


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
