"""Training of word vectors: lowbit beside gensim, one corpus, the same settings, one run.

    python benchmarks/bench_word_vectors.py --corpus corpus.txt --threads 1 --rounds 3

The corpus is a file with a sentence on each line; without one, words of Python's own library. Every
fiftieth line is left out of the training. Before the clock counts, the loss of its windows is
computed in double precision from the tables of both: lowbit's must not be more than 3 % above
gensim's (`--margin`). gensim's vocabulary and lowbit's reading of the corpus are not timed, words
per second are those of the file, the rare and the dropped ones too. `--clock cpu` counts processor
time, for one thread on a machine that others use.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import process
import word_quality
from rivals import word_vectors as rivals

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import word_training as training
from lowbit.embeddings.word_runs import WordRun
from lowbit.embeddings.word_settings import LOSSES, TrainingSettings
from lowbit.reference import word_vectors as reference
from lowbit.reference.word_trees import huffman_paths

HELD_OUT_WINDOWS = 4000
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def library_lines(nbytes: int) -> list[str]:
    """Words of at least three on a line of Python's library."""
    lines: list[str] = []
    size = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        for line in path.read_text("utf-8", errors="replace").lower().split("\n"):
            words = re.findall("[a-z]+", line)
            if len(words) > 3:
                lines.append(" ".join(words))
                size += len(lines[-1]) + 1
        if size > nbytes:
            break
    return lines


def corpus_lines(options: argparse.Namespace) -> list[str]:
    """Of the corpus that was asked for, or of Python's library."""
    if options.corpus:
        return options.corpus.read_text("utf-8").split("\n")
    return library_lines(int(options.megabytes * 1e6))


def lowbit_training(
    corpus: Path, method: str, settings: dict[str, Any], seed: int, deterministic: bool
) -> Callable[[], rivals.Trained]:
    """lowbit's training of a corpus that has been read."""
    read = training.read_corpus(corpus, settings["min_count"], None)
    words = training.decode_words(read.words)
    named = {name: value for name, value in settings.items() if name != "dim"}
    chosen = TrainingSettings(method=method, seed=seed, deterministic=deterministic, **named)

    def train() -> rivals.Trained:
        run = WordRun(read, words, chosen, settings["dim"])
        run.run()
        done = run.result()
        paths = huffman_paths(read.counts) if chosen.has_tree else None
        return words, done.vectors, done.training.targets, paths

    return train


def held_out_loss(trained: rivals.Trained, lines: list[str], method: str, window: int) -> float:
    """Mean loss of windows of lines that were not trained on: of a pair with a word or a negative,
    or, with a tree, of a word.

    A window of fastText's CBOW is the mean of its words' vectors here, not of all n-grams.
    """
    words, x, y, paths = trained
    bags = method.endswith("cbow")
    index = {word: i for i, word in enumerate(words)}
    sentences = [np.array([index[w] for w in line.split() if w in index], int) for line in lines]
    sentences = [sentence for sentence in sentences if len(sentence) > 1]
    counts = np.bincount(np.concatenate(sentences), minlength=len(words)) + 1
    loss, pairs = 0.0, 0
    sampling = reference.Sampling(window=window, sample=0, seed=1)
    held_out = reference.windows(sentences, counts, sampling, 0)
    for _, inputs, targets in islice(held_out, HELD_OUT_WINDOWS):
        labels = (np.arange(len(targets)) == 0).astype(float)
        pairs += (1 if bags else len(inputs)) * (1 if paths else len(targets))
        if paths:
            targets, labels = paths[targets[0]]
        rows = x[inputs].astype(np.float64), y[targets].astype(np.float64), labels
        loss += reference.bag_loss(*rows, not paths) if bags else reference.pair_loss(*rows)
    return loss / pairs


def training_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What lowbit and gensim have in common."""
    return {
        "dim": options.dim,
        "window": options.window,
        "negative": options.negative,
        "min_count": 5,
        "sample": 1e-3,
        "epochs": options.epochs,
        "lr": options.lr,
        "buckets": 2_000_000,
        "loss": options.loss,
    }


def compare(corpus: Path, held_out: list[str], method: str, options: argparse.Namespace) -> None:
    """Check, time and print one method."""
    settings = training_settings(options)
    subjects = {
        "lowbit": lowbit_training(corpus, method, settings, 0, False),
        "lowbit deterministic": lowbit_training(corpus, method, settings, 0, True),
    }
    count, rival = rivals.gensim(corpus, method, settings, 0, options.threads)
    subjects["gensim corpus_file"] = rival
    losses = {
        name: held_out_loss(train(), held_out, method, options.window)
        for name, train in subjects.items()
    }
    for name, loss in losses.items():
        allowed = (1 + options.margin) * losses["gensim corpus_file"]
        assert loss <= allowed, f"{name}: loss {loss:.4f} of held-out windows, above {allowed:.4f}"
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(options.rounds):
        for name, train in subjects.items():
            begin = CLOCKS[options.clock]()
            train()
            seconds[name].append(CLOCKS[options.clock]() - begin)
    rates = {n: [options.epochs * count / s for s in taken] for n, taken in seconds.items()}
    slowest = max(rates["gensim corpus_file"])
    rows = [
        [
            name,
            f"{statistics.median(rate):,.0f} ({min(rate):,.0f} - {max(rate):,.0f})",
            f"{max(rate) / slowest:.2f}",
            f"{losses[name]:.4f}",
        ]
        for name, rate in rates.items()
    ]
    print(f"\n{method}, {options.loss}, {count:,} words, {settings['epochs']} epochs\n")
    head = ["", "words/s (range)", "best times gensim's best", "loss of held-out windows"]
    process.print_table(head, rows)


def compare_quality(corpus: Path, method: str, options: argparse.Namespace) -> None:
    """Scores of one method with several seeds."""
    settings = training_settings(options)

    def ours(deterministic: bool, seed: int) -> lb.WordVectors:
        words, vectors, *_ = lowbit_training(corpus, method, settings, seed, deterministic)()
        return lb.WordVectors(words, vectors)

    def theirs(seed: int) -> lb.WordVectors:
        _, train = rivals.gensim(corpus, method, settings, seed, options.threads)
        words, vectors, *_ = train()
        return lb.WordVectors(words, vectors)

    print(f"\n{method}, {options.loss}, {options.epochs} epochs, {options.seeds} seeds\n")
    subjects = {
        "lowbit": partial(ours, False),
        "lowbit deterministic": partial(ours, True),
        "gensim": theirs,
    }
    word_quality.compare(subjects, options.seeds, *options.quality)


def compare_analogies(path: Path, options: argparse.Namespace) -> None:
    """Analogies over 77,000 words whose vectors are sums of letters, so that some are right."""
    lines = path.read_text("utf-8").lower().split("\n")
    asked = [word for line in lines if line[:1] != ":" for word in line.split()]
    words = list(dict.fromkeys([*asked, *(f"word{i}" for i in range(77_000))]))[:77_000]
    rng = np.random.default_rng(0)
    letters = {c: rng.standard_normal(options.dim) for c in sorted(set("".join(words)))}
    vectors = np.stack([sum(letters[c] for c in word) for word in words]).astype(np.float32)
    vectors += 0.1 * rng.standard_normal(vectors.shape, dtype=np.float32)

    def evaluate() -> tuple[int, int]:
        report = lb.WordVectors(words, vectors).evaluate_analogies(path)
        return report.correct, report.total

    rival = rivals.gensim_analogies(words, vectors, path)
    seconds: dict[str, float] = {}
    answers: dict[str, tuple[int, int]] = {}
    for name, run in {"lowbit": evaluate, "gensim": rival}.items():
        begin = CLOCKS[options.clock]()
        answers[name] = run()
        seconds[name] = CLOCKS[options.clock]() - begin
    right, theirs = answers["lowbit"], answers["gensim"]
    assert right[1] == theirs[1] and abs(right[0] - theirs[0]) <= 3, f"{right} is not {theirs}"
    print(f"\n{right[1]:,} analogies, {right[0]:,} right, {len(words):,} x {options.dim}\n")
    times = seconds["gensim"] / seconds["lowbit"]
    rows = [[name, f"{taken:.2f}"] for name, taken in seconds.items()]
    process.print_table(["", "seconds"], rows)
    print(f"\n{times:.1f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--megabytes", type=float, default=8, help="of Python's library")
    parser.add_argument(
        "--methods", nargs="+", choices=training.PREDICTING, default=training.PREDICTING
    )
    parser.add_argument("--loss", choices=LOSSES, default=LOSSES[0])
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--negative", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.025)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: of all threads")
    parser.add_argument("--margin", type=float, default=0.03)
    parser.add_argument("--analogies", type=Path, help="questions-words.txt: time these alone")
    parser.add_argument("--quality", type=Path, nargs=2, metavar=("PAIRS", "ANALOGIES"))
    parser.add_argument("--seeds", type=int, default=10, help="of --quality")
    options = parser.parse_args()
    lb.set_num_threads(options.threads)
    if options.analogies:
        compare_analogies(options.analogies, options)
        return
    lines = corpus_lines(options)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        kept = [line for i, line in enumerate(lines) if i % 50 or options.quality]
        corpus.write_text("\n".join(kept) + "\n", encoding="utf-8")
        for method in options.methods:
            if options.quality:
                compare_quality(corpus, method, options)
            else:
                compare(corpus, lines[::50], method, options)


if __name__ == "__main__":
    main()
