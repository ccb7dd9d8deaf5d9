"""Going on with a training of word vectors: the same bits, other corpora, new words, files."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import word_training
from lowbit.files.safetensors import read_safetensors, write_safetensors

KINDS = [
    {"method": "skipgram"},
    {"method": "cbow", "loss": "hierarchical_softmax"},
    {"method": "fasttext", "ngrams": (2, 4), "buckets": 500},
]


def lines_of(words: int, lines: int, seed: int = 0, prefix: str = "w") -> list[str]:
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, words + 1)
    share /= share.sum()
    return [
        " ".join(f"{prefix}{i}" for i in rng.choice(words, rng.integers(2, 30), p=share))
        for _ in range(lines)
    ]


def bits(wv: lb.WordVectors) -> list[bytes]:
    """Of everything that a training ends with."""
    arrays = [wv.vectors, wv.counts, wv.training.targets]
    if wv.subwords is not None:
        arrays += [wv.subwords.word_rows, wv.subwords.ngram_rows, wv.subwords.buckets]
    return [array.tobytes() for array in arrays]


class Stopped(Exception):
    pass


def stop_after(reports: int) -> Callable[[object], None]:
    left = iter(range(reports))

    def stop(_: object) -> None:
        if next(left, None) is None:
            raise Stopped

    return stop


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["method"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_training_that_is_broken_off_goes_on_with_the_same_bits(
    kind: dict,
    deterministic: bool,
    tmp_path: Path,
    restore_threads: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(word_training, "SECONDS_OF_A_STEP", 0)
    _core.set_num_threads(1)
    lines = lines_of(80, 1500)
    settings = kind | {"dim": 20, "epochs": 2, "min_count": 3, "sample": 1e-2, "seed": 5}
    settings["deterministic"] = deterministic
    whole = lb.WordVectors.train(lines, **settings)
    path = tmp_path / "run.safetensors"
    with pytest.raises(Stopped):
        lb.WordVectors.train(lines, **settings, checkpoint=path, progress=stop_after(1))
    places = [lb.WordVectors.load(path).training]
    while places[-1].epoch < 2:
        if deterministic:
            _core.set_num_threads(len(places))
        with contextlib.suppress(Stopped):
            lb.WordVectors.resume(path, lines, progress=stop_after(len(places) % 2))
        places.append(lb.WordVectors.load(path).training)
        assert (places[-1].epoch, places[-1].chunk) > (places[-2].epoch, places[-2].chunk)
    assert len(places) > 2 and any(at.chunk for at in places)
    assert bits(lb.WordVectors.load(path)) == bits(whole)
    resumed = lb.WordVectors.resume(path, lines)  # which has nothing left
    assert bits(resumed) == bits(whole)
    other = lb.WordVectors.train(lines, **settings | {"seed": 6})
    assert bits(other) != bits(whole)


def test_checkpoints_are_written_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_training, "SECONDS_OF_A_STEP", 0)
    lines, path, seen = lines_of(80, 3000), tmp_path / "run.safetensors", []

    def look(at: lb.embeddings.TrainingProgress) -> None:
        if path.exists():
            state = lb.WordVectors.load(path).training
            seen.append((state.epoch, state.chunk))

    lb.WordVectors.train(
        lines, dim=8, epochs=2, checkpoint=path, checkpoint_seconds=0, progress=look
    )
    assert len(seen) > 2 and seen == sorted(set(seen))
    assert lb.WordVectors.load(path).training.epoch == 2


def test_resuming_needs_the_corpus_and_a_training(tmp_path: Path) -> None:
    path, lines = tmp_path / "run.safetensors", lines_of(50, 500)
    with pytest.raises(Stopped):
        lb.WordVectors.train(lines, dim=8, checkpoint=path, progress=stop_after(0))
    with pytest.raises(ValueError, match="trained on another corpus"):
        lb.WordVectors.resume(path, lines[1:])
    wv = lb.WordVectors.resume(path, [line.split() for line in lines])  # the same in another form
    wv.save(path)
    with pytest.raises(ValueError, match=r"resume: these vectors have no targets.*training=True"):
        lb.WordVectors.resume(path, lines)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["method"])
def test_files_of_the_first_version_go_on(kind: dict, tmp_path: Path) -> None:
    """Broken off after the first of three epochs, before trainings by GloVe could be saved."""
    method, lines = kind["method"], ["lowest lower slow slowly"] * 9
    settings = kind | ({"ngrams": (3, 3), "buckets": 9} if method == "fasttext" else {})
    settings |= {"epochs": 3, "lr": 0.5, "sample": 0, "seed": 1, "deterministic": True}
    whole = lb.WordVectors.train(lines, dim=2, **settings)
    path = tmp_path / "old.safetensors"
    path.write_bytes((Path(__file__).parent / f"data/trainings/{method}.safetensors").read_bytes())
    half = lb.WordVectors.load(path)
    assert (half.training.epoch, half.training.settings) == (1, whole.training.settings)
    resumed = lb.WordVectors.resume(path, lines)
    np.testing.assert_allclose(resumed.vectors, whole.vectors, rtol=1e-4)
    np.testing.assert_allclose(resumed.training.targets, whole.training.targets, rtol=1e-4)
    assert np.abs(resumed.vectors - half.vectors).max() > 1e-3


@pytest.mark.parametrize("suffix", [".bin", ".txt", ".vec"])
def test_other_formats_have_no_place_for_a_training(suffix: str, tmp_path: Path) -> None:
    wv = lb.WordVectors.train(["a b c"] * 10, dim=4)
    with pytest.raises(ValueError, match=r'has no place for the targets.*use "safetensors"'):
        wv.save(tmp_path / f"a{suffix}", training=True)
    wv.save(tmp_path / f"a{suffix}")
    read = lb.WordVectors.load(tmp_path / f"a{suffix}")
    with pytest.raises(ValueError, match="train_more: these vectors have no targets"):
        read.train_more(["a b"])
    with pytest.raises(ValueError, match="save: these vectors have no targets"):
        read.save(tmp_path / "b.safetensors", training=True)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["method"])
def test_saved_vectors_are_trained_further_as_those_in_memory(
    kind: dict, mmap: bool, tmp_path: Path
) -> None:
    wv = lb.WordVectors.train(lines_of(60, 300), dim=8, deterministic=True, **kind)
    before = bits(wv)
    wv.save(tmp_path / "a.safetensors", training=True)
    more = wv.train_more(lines_of(60, 100, 1), epochs=2)
    assert bits(wv) == before != bits(more)
    read = lb.WordVectors.load(tmp_path / "a.safetensors", mmap=mmap)
    assert bits(read) == before
    assert read.training.settings == wv.training.settings
    assert bits(read.train_more(lines_of(60, 100, 1), epochs=2)) == bits(more)
    if kind["method"] == "fasttext":
        assert read["unknown-w1"].tolist() == wv["unknown-w1"].tolist()
    limited = lb.WordVectors.load(tmp_path / "a.safetensors", limit=3)
    assert limited.training is None and limited.words == wv.words[:3]


def test_new_words_come_behind_the_old_ones_and_find_their_place() -> None:
    """Two groups of words; new ones stand with the second."""
    rng = np.random.default_rng(0)

    def line(group: str, extra: str = "") -> str:
        return " ".join([*(f"{group}{i}" for i in rng.integers(0, 9, 6)), extra])

    old = [line("ab"[i % 2]) for i in range(2000)]
    wv = lb.WordVectors.train(old, dim=16, epochs=5, lr=0.1, sample=0, deterministic=True)
    new = [line("b", f"new{i % 3}") for i in range(600)]
    more = wv.train_more(new, grow=True, min_count=50, lr=0.1, epochs=5)
    assert more.words == [*wv.words, "new0", "new1", "new2"]
    assert more.counts[:18].sum() == wv.counts.sum() + 600 * 6
    assert more.counts[18:].tolist() == [200, 200, 200]
    for word in ("new0", "new1", "new2"):
        near = [other for other, _ in more.most_similar(word, top=11)]
        assert sum(other[0] == "b" or other[:3] == "new" for other in near) == 11
    # What the new corpus does not have stays as it is: vectors and targets.
    for word in (f"a{i}" for i in range(9)):
        row = wv.index(word)
        assert more[word].tolist() == wv[word].tolist()
        assert more.training.targets[row].tolist() == wv.training.targets[row].tolist()
    assert more["b0"].tolist() != wv["b0"].tolist()
    again = more.train_more([line("a", "new4")] * 50, grow=True, epochs=1)
    assert again.words == [*more.words, "new4"]
    unknown = wv.train_more(new, epochs=1)
    assert unknown.words == wv.words


def test_fasttext_grows_with_the_ngrams_of_new_words() -> None:
    old, new = lines_of(40, 200), lines_of(40, 200, 1, "other")
    kind = {"ngrams": (2, 4), "buckets": 10_000, "deterministic": True}
    wv = lb.WordVectors.train(old, "fasttext", 8, **kind)
    more = wv.train_more(new, grow=True, epochs=1, lr=1e-9, min_lr=1e-9)
    assert set(wv.words) < set(more.words)
    assert set(wv.subwords.buckets) < set(more.subwords.buckets)
    # At next to no learning rate rows stay what they were.
    np.testing.assert_allclose(more[wv.words], wv[wv.words], atol=1e-6)
    kept = np.isin(more.subwords.buckets, wv.subwords.buckets)
    np.testing.assert_allclose(more.subwords.ngram_rows[kept], wv.subwords.ngram_rows, atol=1e-6)
    fresh = more.subwords.ngram_rows[~kept]
    assert np.abs(fresh).max() <= 1 / 8 and np.abs(fresh).min() > 0


@pytest.mark.parametrize("kind", KINDS[:1] + KINDS[2:], ids=lambda kind: kind["method"])
def test_growing_can_be_broken_off_and_resumed(kind: dict, tmp_path: Path) -> None:
    wv = lb.WordVectors.train(lines_of(60, 300), dim=8, deterministic=True, **kind)
    new = lines_of(60, 900, 1) + lines_of(9, 300, 2, "new")
    path = tmp_path / "run.safetensors"
    whole = wv.train_more(new, grow=True, epochs=2)
    with pytest.raises(Stopped):
        wv.train_more(new, grow=True, epochs=2, checkpoint=path, progress=stop_after(1))
    resumed = lb.WordVectors.resume(path, new)
    assert resumed.words == whole.words and bits(resumed) == bits(whole)


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    settings = {"window": np.int64(3), "lr": np.float32(0.5), "ngrams": np.array([2, 3])}
    wv = lb.WordVectors.train(["a b c"] * 9, "fasttext", 4, seed=np.uint64(1), **settings)
    wv.save(tmp_path / "a.safetensors", training=True)
    read = lb.WordVectors.load(tmp_path / "a.safetensors").training.settings
    assert (read.window, read.lr, read.ngrams, read.seed) == (3, 0.5, (2, 3), 1)


def test_wrong_ways_to_train_more_are_refused() -> None:
    wv = lb.WordVectors.train(["a b c d"] * 10, dim=4, loss="hierarchical_softmax")
    with pytest.raises(ValueError, match="a tree of hierarchical softmax has no room"):
        wv.train_more(["a b"], grow=True)
    assert wv.train_more(["a b"] * 10).words == wv.words
    with pytest.raises(TypeError, match="method cannot change; cbow_gradient"):
        wv.train_more(["a b"], method="cbow")
    with pytest.raises(TypeError, match="dim cannot change"):
        wv.train_more(["a b"], dim=3)
    with pytest.raises(ValueError, match="the corpus has no word of the vocabulary"):
        wv.train_more(["x y"])
    wv = lb.WordVectors.train(["a b c d"] * 10, dim=4)
    with pytest.raises(ValueError, match="max_vocab=3 is below the 4 words"):
        wv.train_more(["a b"], grow=True, max_vocab=3)
    with pytest.raises(ValueError, match="no targets"):
        wv.restrict(2).train_more(["a b"])
    with pytest.raises(FileNotFoundError, match="the folder of checkpoint=nowhere"):
        wv.train_more(["a b"], checkpoint="nowhere/a.safetensors")
    wv.training = None
    with pytest.raises(ValueError, match="no targets"):
        wv.train_more(["a b"])


def damage_json(change: Callable[[dict], None]) -> Callable[[dict, dict], None]:
    def damage(tensors: dict, metadata: dict) -> None:
        read = json.loads(metadata["training"])
        change(read)
        metadata["training"] = json.dumps(read)

    return damage


def set_text(text: str) -> Callable[[dict, dict], None]:
    return lambda _, metadata: metadata.update(training=text)


def set_tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    return lambda tensors, _: tensors.update({name: change(tensors[name])})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_text("{"), "is not one"),
        (set_text("[" * 100_000), "is not one"),
        (set_text("[]"), "has not the entries"),
        (damage_json(lambda read: read["settings"].pop("lr")), "settings are not those"),
        (damage_json(lambda read: read["settings"].update(method="lsa")), "is not known"),
        (damage_json(lambda read: read["settings"].update(method=["cbow"])), "method is"),
        (damage_json(lambda read: read["settings"].update(window=1 << 70)), "window is"),
        (damage_json(lambda read: read["settings"].update(window=True)), "window is"),
        (damage_json(lambda read: read["settings"].update(sample="x")), "sample is"),
        (damage_json(lambda read: read["settings"].update(ngrams=[1])), "ngrams is"),
        (damage_json(lambda read: read["settings"].update(ngrams=[0, 3])), "n-grams of"),
        (damage_json(lambda read: read["settings"].update(buckets=3)), "buckets must rise"),
        (damage_json(lambda read: read["settings"].update(seed=-1)), "seed=-1"),
        (damage_json(lambda read: read["settings"].update(loss="negative_sampling")), "targets of"),
        (damage_json(lambda read: read.update(epoch=99)), "no chunk"),
        (damage_json(lambda read: read.update(epoch=0, chunk=3)), "goes on at chunk 3"),
        (damage_json(lambda read: read.update(epoch=0.5)), "must be integers"),
        (set_tensor("targets", lambda x: x[:-1]), "targets of shape"),
        (set_tensor("targets", lambda x: x.astype(np.float16)), "needs a 2-dimensional 'targets'"),
        (set_tensor("tree_counts", lambda x: x[::-1].copy()), "do not rise"),
        (set_tensor("tree_counts", lambda x: x[1:]), "do not rise"),
        (set_tensor("tree_counts", lambda x: x + (1 << 60)), "add up to more"),
        (set_tensor("buckets", lambda x: x[::-1].copy()), "buckets must rise"),
        (set_tensor("buckets", lambda x: x[1:]), "rows of n-grams do not fit"),
        (set_tensor("word_rows", lambda x: x[1:]), "rows of n-grams do not fit"),
        (lambda tensors, _: tensors.pop("ngram_rows"), "needs a 2-dimensional 'ngram_rows'"),
        (lambda tensors, _: tensors.pop("targets"), "needs a 2-dimensional 'targets'"),
        (lambda tensors, _: tensors.pop("tree_counts"), "do not rise"),
    ],
)
def test_broken_trainings_are_refused(damage: Callable, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    wv = lb.WordVectors.train(
        lines_of(30, 50),
        "fasttext",
        4,
        min_count=1,
        loss="hierarchical_softmax",
        buckets=100,
        deterministic=True,
    )
    wv.save(path, training=True)
    tensors = read_safetensors(path)
    metadata = {"format": "lowbit word vectors", "training": wv.training.to_json()}
    damage(tensors, metadata)
    write_safetensors(path, tensors, metadata)
    with pytest.raises(lb.FileFormatError, match=re.escape(message)):
        lb.WordVectors.load(path)


def test_a_place_that_the_corpus_does_not_have_is_refused(tmp_path: Path) -> None:
    path, lines = tmp_path / "a.safetensors", lines_of(30, 500)
    with pytest.raises(Stopped):
        lb.WordVectors.train(lines, dim=4, checkpoint=path, progress=stop_after(0))
    tensors = read_safetensors(path)
    state = json.loads(lb.WordVectors.load(path).training.to_json()) | {"chunk": 1 << 40}
    write_safetensors(path, tensors, {"training": json.dumps(state)})
    with pytest.raises(ValueError, match="the corpus has no place"):
        lb.WordVectors.resume(path, lines)
