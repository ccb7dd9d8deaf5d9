"""Going on with a training by GloVe: the same bits, other corpora and settings, files."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import GloveOptions, TrainingProgress, word_training
from lowbit.files.safetensors import read_safetensors, write_safetensors
from test_word_vectors_continued import (
    Stopped,
    bits,
    damage_json,
    lines_of,
    set_tensor,
    set_text,
    stop_after,
)

ROUNDS = 16  # of an epoch over few words


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch, restore_threads: None) -> None:
    """A step has as many rounds as there are threads: one."""
    _core.set_num_threads(1)
    monkeypatch.setattr(word_training, "SECONDS_OF_A_STEP", 0)
    monkeypatch.setattr(word_training, "SHARDS", 1)


def train(lines: list[str], dim: int = 9, **settings: object) -> lb.WordVectors:
    return lb.WordVectors.train(lines, "glove", dim, **{"min_count": 2, "seed": 5} | settings)


@pytest.fixture
def stopped(tmp_path: Path, small_steps: None) -> tuple[Path, list[str]]:
    """A checkpoint in the second of three epochs, and its corpus."""
    path, lines = tmp_path / "run.safetensors", lines_of(60, 200)
    with pytest.raises(Stopped):
        train(lines, epochs=3, checkpoint=path, progress=stop_after(ROUNDS + 4))
    return path, lines


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("place", [(0, 6), (1, 0), (2, 14)])
@pytest.mark.parametrize("vectors", ["sum", "word"])
def test_a_training_that_is_broken_off_goes_on_with_the_same_bits(
    vectors: str, place: tuple[int, int], threads: int, tmp_path: Path, small_steps: None
) -> None:
    lines, path = lines_of(200, 500), tmp_path / "run.safetensors"
    settings = {"epochs": 3, "lr": 0.1, "window": 7}
    settings["glove"] = GloveOptions(vectors=vectors, x_max=3, symmetric=vectors == "sum")
    whole = train(lines, **settings)
    _core.set_num_threads(threads)
    steps = (place[0] * ROUNDS + place[1]) // threads
    with pytest.raises(Stopped):
        train(lines, **settings, checkpoint=path, progress=stop_after(steps - 1))
    state = lb.WordVectors.load(path).training
    assert (state.epoch, state.chunk) == place
    _core.set_num_threads(3 - threads)
    resumed = lb.WordVectors.resume(path, [line.split() for line in lines])
    assert bits(resumed) == bits(whole) == bits(lb.WordVectors.load(path))
    assert resumed.words == whole.words and resumed.training.epoch == 3
    assert bits(lb.WordVectors.resume(path, lines)) == bits(whole)  # which has nothing left
    assert bits(train(lines, **settings | {"seed": 6})) != bits(whole)


def test_pairs_in_a_file_are_the_same_when_it_goes_on(tmp_path: Path, small_steps: None) -> None:
    lines, path = lines_of(2000, 6000), tmp_path / "run.safetensors"
    whole = train(lines, 6, epochs=2)
    small = GloveOptions(memory="1MiB", folder=tmp_path)
    with pytest.raises(Stopped):
        train(lines, 6, epochs=2, glove=small, checkpoint=path, progress=stop_after(5))
    kept = lb.WordVectors.load(path).training.settings.options
    assert kept.memory == 1 << 20 and kept.folder is None
    assert str(tmp_path) not in path.read_bytes().decode("latin-1")
    for options in (None, small, GloveOptions(memory="50MB")):
        with pytest.raises(Stopped):
            lb.WordVectors.resume(path, lines, glove=options, progress=stop_after(3))
    assert bits(lb.WordVectors.resume(path, lines)) == bits(whole)


def test_more_epochs_have_the_bits_of_so_many_at_once(stopped: tuple[Path, list[str]]) -> None:
    path, lines = stopped
    assert bits(lb.WordVectors.resume(path, lines)) == bits(train(lines, epochs=3))
    more = lb.WordVectors.resume(path, lines, epochs=5)  # of one that was at its end
    assert bits(more) == bits(train(lines, epochs=5)) and more.training.settings.epochs == 5
    with pytest.raises(ValueError, match=r"epochs=4 must be at least 5, so many have begun"):
        lb.WordVectors.resume(path, lines, epochs=4)
    with pytest.raises(ValueError, match="trained on another corpus"):
        lb.WordVectors.resume(path, lines[1:], epochs=6)
    assert bits(lb.WordVectors.load(path)) == bits(more)


def test_checkpoints_are_written_while_it_runs(tmp_path: Path, small_steps: None) -> None:
    path, seen = tmp_path / "run.safetensors", []

    def look(_: object) -> None:
        if path.exists():
            state = lb.WordVectors.load(path).training
            seen.append((state.epoch, state.chunk))

    wv = train(lines_of(60, 200), epochs=2, checkpoint=path, checkpoint_seconds=0, progress=look)
    assert len(seen) > 2 and seen == sorted(set(seen))
    assert bits(lb.WordVectors.load(path)) == bits(wv)


def test_an_interrupt_inside_a_step_leaves_a_checkpoint(tmp_path: Path) -> None:
    """The signal comes while the kernels train, and is heard behind them."""
    path, lines = tmp_path / "run.safetensors", lines_of(300, 2000)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(
                lines,
                epochs=100_000,
                checkpoint=path,
                progress=lambda at: at.epoch == 3 and signal.setitimer(signal.ITIMER_REAL, 0.003),
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    epochs = lb.WordVectors.load(path).training.epoch + 1
    assert 3 <= epochs < 100_000
    resumed = lb.WordVectors.resume(path, lines, epochs=epochs)
    assert bits(resumed) == bits(train(lines, epochs=epochs))


def test_progress_counts_from_where_it_was(tmp_path: Path, small_steps: None) -> None:
    lines, path, whole = lines_of(60, 200), tmp_path / "run.safetensors", []
    train(lines, epochs=2, progress=whole.append)
    assert len(whole) == 2 * ROUNDS and all(b.words > a.words for a, b in pairwise(whole))
    for stop in (3, ROUNDS - 1, ROUNDS + 5):
        with pytest.raises(Stopped):
            train(lines, epochs=2, checkpoint=path, progress=stop_after(stop))
        rest: list[TrainingProgress] = []
        lb.WordVectors.resume(path, lines, progress=rest.append)
        told = [(at.epoch, at.epochs, at.words, at.total_words) for at in whole[stop + 1 :]]
        assert [(at.epoch, at.epochs, at.words, at.total_words) for at in rest] == told
    assert rest[-1].words == rest[-1].total_words


def test_progress_is_printed_when_it_goes_on(
    stopped: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, lines = stopped
    lb.WordVectors.resume(path, lines, progress=True)
    printed = capsys.readouterr().err
    assert "counting: 100%" in printed and "pairs/s" in printed and "epoch 3 of 3: 100%" in printed


def test_a_corpus_without_pairs_goes_on(tmp_path: Path) -> None:
    path, lines = tmp_path / "run.safetensors", [["a"], ["b"]]
    with pytest.raises(Stopped):
        train(lines, 3, min_count=1, checkpoint=path, progress=stop_after(0))
    assert lb.WordVectors.resume(path, lines).words == ["a", "b"]


def test_what_does_not_fit_is_refused(stopped: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, lines = stopped
    before = path.read_bytes()
    refused = [
        (lines[1:], {}, "was trained on another corpus; pass the same words in the same order"),
        (["x y z"], {}, "the corpus has no word of the vocabulary"),
        (lines, {"epochs": 1}, "epochs=1 must be at least 2, so many have begun"),
        (lines, {"glove": GloveOptions(x_max=5)}, "glove has x_max=5, the training had 100.0"),
        (lines, {"glove": GloveOptions(vectors="word")}, "glove has vectors='word', the training"),
        (lines, {"glove": GloveOptions(memory=1000)}, "memory=1000 bytes must be at least 1 MiB"),
        (lines, {"checkpoint_seconds": -1}, "checkpoint_seconds=-1 must not be negative"),
    ]
    for corpus, options, message in refused:
        with pytest.raises(ValueError, match=re.escape(message)):
            lb.WordVectors.resume(path, corpus, **options)
    with pytest.raises(FileNotFoundError):
        lb.WordVectors.resume(path, lines, glove=GloveOptions(folder="/nowhere/at/all"))
    with pytest.raises(FileNotFoundError, match="the folder of checkpoint=nowhere"):
        train(lines, checkpoint="nowhere/a.safetensors")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    other = tmp_path / "other.safetensors"
    lb.WordVectors.train(lines, dim=4).save(other, training=True)
    for options in ({"glove": GloveOptions()}, {"epochs": 9}):
        with pytest.raises(ValueError, match='by "glove" alone, this one is by "skipgram"'):
            lb.WordVectors.resume(other, lines, **options)


def test_an_error_of_the_kernels_leaves_the_checkpoint_as_it_was(
    stopped: tuple[Path, list[str]],
) -> None:
    path, lines = stopped
    tensors, text = read_safetensors(path), lb.WordVectors.load(path).training.to_json()
    tensors["targets"][:, 0, 0] = tensors["targets"][:, 1, 0] = 1e30
    write_safetensors(path, tensors, {"training": text})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="pairs of vectors are not finite; lower lr="):
        lb.WordVectors.resume(path, lines)
    assert path.read_bytes() == before


def test_files_are_word_vectors_as_others(stopped: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, lines = stopped
    half = lb.WordVectors.load(path)
    word, context = half.training.targets[:, 0, :9], half.training.targets[:, 1, :9]
    assert (half.vectors == word + context).all()
    assert half.most_similar("w1", top=3) and half.counts.sum() > 0
    limited = lb.WordVectors.load(path, limit=3)
    assert limited.words == half.words[:3] and limited.training is None
    mapped = lb.WordVectors.load(path, mmap=True)
    assert bits(mapped) == bits(half) and isinstance(mapped.training.targets, np.memmap)
    copy = tmp_path / "copy.safetensors"
    mapped.save(copy, training=True)
    assert copy.read_bytes() == path.read_bytes()
    wv = lb.WordVectors.resume(copy, lines)
    wv.save(tmp_path / "plain.safetensors")
    plain = lb.WordVectors.load(tmp_path / "plain.safetensors")
    assert plain.training is None and plain.vectors.tobytes() == wv.vectors.tobytes()
    with pytest.raises(ValueError, match=r'has no place for the targets.*use "safetensors"'):
        wv.save(tmp_path / "a.txt", training=True)


def test_other_corpora_cannot_be_added(stopped: tuple[Path, list[str]]) -> None:
    wv = lb.WordVectors.load(stopped[0])
    for options in ({"grow": True}, {}):
        with pytest.raises(ValueError, match=r"train_more: GloVe fits vectors.*train on both"):
            wv.train_more(["a b"] * 9, **options)


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    options = GloveOptions(x_max=np.float32(2.5), memory=np.int64(1 << 21))
    settings = {"lr": np.float32(0.5), "window": np.int64(3), "epochs": np.int32(2)}
    wv = train(lines_of(9, 50), 4, glove=options, **settings | {"seed": np.uint64(1 << 63)})
    wv.save(tmp_path / "a.safetensors", training=True)
    read = lb.WordVectors.load(tmp_path / "a.safetensors").training.settings
    assert (read.lr, read.window, read.epochs, read.seed) == (0.5, 3, 2, 1 << 63)
    assert read.options == GloveOptions(x_max=2.5, memory=1 << 21)


def change_settings(**changed: object) -> Callable:
    return damage_json(lambda read: read["settings"].update(changed))


def change_options(**changed: object) -> Callable:
    return damage_json(lambda read: read["settings"]["options"].update(changed))


def change_value(row: int, column: int, value: float) -> Callable:
    def change(table: np.ndarray) -> np.ndarray:
        table[7, row, column] = value
        return table

    return set_tensor("targets", change)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_text('{"settings": 1}'), "has not the entries"),
        (damage_json(lambda read: read["settings"].pop("lr")), "settings are not those"),
        (damage_json(lambda read: read["settings"].pop("options")), "settings are not those"),
        (change_settings(negative=5), "settings are not those"),
        (change_settings(options=[1]), "settings are not those"),
        (change_settings(method="cbow"), "settings are not those"),
        (change_settings(method=["glove"]), "settings are not those"),
        (change_settings(window="15"), "window is"),
        (change_settings(window=1 << 70), "window is"),
        (change_settings(epochs=2.5), "epochs is"),
        (change_settings(epochs=0), "epochs=0 must be between"),
        (change_settings(epochs=1), "no training goes on at chunk 5 of epoch 1"),
        (change_settings(lr="fast"), "lr is"),
        (change_settings(seed=-1), "seed=-1"),
        (change_options(folder="/etc"), "settings are not those"),
        (change_options(x_max=None), "x_max is"),
        (change_options(symmetric=1), "symmetric is"),
        (change_options(memory="4GB"), "memory is"),
        (change_options(memory=-1), "memory=-1 is no size"),
        (change_options(vectors="all"), 'vectors="all" is not known'),
        (damage_json(lambda read: read.update(epoch=9)), "it has no chunk"),
        (damage_json(lambda read: read.update(chunk=-1)), "it has no chunk"),
        (damage_json(lambda read: read.update(chunk="1")), "must be integers"),
        (lambda tensors, _: tensors.pop("targets"), "needs a 3-dimensional 'targets'"),
        (set_tensor("targets", lambda x: x[0]), "needs a 3-dimensional 'targets'"),
        (set_tensor("targets", lambda x: x.astype(np.float64)), "needs a 3-dimensional 'targets'"),
        (set_tensor("targets", lambda x: x[:-1]), "targets of shape"),
        (set_tensor("targets", lambda x: x[:, :3]), "targets of shape"),
        (set_tensor("targets", lambda x: x[:, :, 1:]), "targets of shape"),
        (change_value(0, 3, np.nan), "a number of targets is infinite or none"),
        (change_value(1, 0, np.inf), "a number of targets is infinite or none"),
        (change_value(3, 2, -np.inf), "a number of targets is infinite or none"),
        (change_value(2, 4, 0.5), "sums of squares in targets must be at least 1"),
        (change_value(0, -1, 2), "targets must have ones beside their biases"),
        (change_value(1, -2, 2), "targets must have ones beside their biases"),
        (set_tensor("vectors", lambda x: x[:, :-1]), "targets of shape"),
    ],
)
def test_broken_trainings_are_refused(
    damage: Callable, message: str, stopped: tuple[Path, list[str]]
) -> None:
    path, lines = stopped
    tensors, text = read_safetensors(path), lb.WordVectors.load(path).training.to_json()
    metadata = {"format": "lowbit word vectors", "training": text}
    damage(tensors, metadata)
    write_safetensors(path, tensors, metadata)
    before = path.read_bytes()
    for read in (lb.WordVectors.load, lambda path: lb.WordVectors.resume(path, lines)):
        with pytest.raises(lb.FileFormatError, match=re.escape(message)):
            read(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_json(lambda read: read.update(chunk=1 << 40)), "the corpus has no place"),
        (damage_json(lambda read: read.update(corpus="")), "trained on another corpus"),
        (change_settings(window=1001), "window=1001 must be between 1 and 1000"),
        (change_settings(lr=-0.5), "lr=-0.5 must be above 0"),
        (change_options(x_max=float("nan")), "x_max=nan must be above 0"),
        (change_options(memory=5), "memory=5 bytes must be at least 1 MiB"),
    ],
)
def test_settings_that_no_training_has_are_refused(
    damage: Callable, message: str, stopped: tuple[Path, list[str]]
) -> None:
    path, lines = stopped
    tensors, metadata = read_safetensors(path), {}
    metadata["training"] = lb.WordVectors.load(path).training.to_json()
    damage(tensors, metadata)
    write_safetensors(path, tensors, metadata)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=re.escape(message)):
        lb.WordVectors.resume(path, lines)
    assert path.read_bytes() == before


def test_files_that_were_cut_are_refused(stopped: tuple[Path, list[str]]) -> None:
    path, lines = stopped
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(lb.FileFormatError):
            lb.WordVectors.resume(path, lines)
        assert path.read_bytes() == whole[:size]
