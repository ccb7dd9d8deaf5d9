"""Fixtures that every test file may use."""

import os
from pathlib import Path

import pytest

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
