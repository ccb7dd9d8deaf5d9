"""WordPiece beside the tokenizers library: equal ids first, then the time of one thread.

    pytest benchmarks/bench_tokenizers.py --benchmark-enable

Real texts come from the folder named by LOWBIT_SHARED_DATA; texts are the non-empty lines of a
corpus. The rival's threads are switched off. lowbit remembers words that it met, so its figure is
that of a running program, not that of a first call.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb

os.environ["TOKENIZERS_PARALLELISM"] = "false"
pytest.importorskip("tokenizers")
from rivals.tokenizers_hf import Rival

CORPORA = ("tinyshakespeare", "wikitext2_valid_tokenized", "udhr_mix_a", "code_synth_a")


@pytest.fixture(scope="module")
def shared() -> Path:
    folder = os.environ.get("LOWBIT_SHARED_DATA")
    if not folder:
        pytest.skip("LOWBIT_SHARED_DATA does not name a folder")
    return Path(folder)


@pytest.fixture(scope="module")
def tokenizer_file(shared: Path) -> Path:
    return shared / "tokenizers/bert-base-uncased/tokenizer.json"


@pytest.fixture(scope="module", params=CORPORA)
def lines(shared: Path, request: pytest.FixtureRequest) -> list[str]:
    text = (shared / f"corpora/{request.param}.txt").read_text("utf-8")
    return [line for line in text.split("\n") if line]


def note_size(benchmark, lines: list[str]) -> None:
    benchmark.extra_info["bytes"] = sum(len(line.encode()) for line in lines)


@pytest.mark.benchmark(group="wordpiece")
def test_lowbit(benchmark, tokenizer_file: Path, lines: list[str]) -> None:
    tokenizer = lb.Tokenizer.from_file(tokenizer_file)
    note_size(benchmark, lines)
    rival = Rival(tokenizer_file)
    expected = rival.flat_ids(rival.encode_batch(lines))
    assert np.array_equal(tokenizer.encode_batch(lines, num_threads=1).ids, expected)
    benchmark(tokenizer.encode_batch, lines, num_threads=1)


@pytest.mark.benchmark(group="wordpiece")
def test_tokenizers(benchmark, tokenizer_file: Path, lines: list[str]) -> None:
    note_size(benchmark, lines)
    assert len(benchmark(Rival(tokenizer_file).encode_batch, lines)) == len(lines)
