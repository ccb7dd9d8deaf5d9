"""Training of GloVe: lowbit beside GloVe's own programs, one corpus, the same settings, one run.

    python benchmarks/bench_glove.py --rival GloVe/build --corpus corpus.txt --clock cpu
    python benchmarks/bench_glove.py --rival GloVe/build --corpus corpus.txt --x-max 10 \\
        --quality wordsim353.tsv questions-words.txt

The corpus is a file with a sentence of at most 1,000 words on each line; without one, words of
Python's own library. The folder of the rival has vocab_count, cooccur, shuffle and glove, which
`make` of github.com/stanfordnlp/GloVe builds. Before the clock counts, both have the same words and
the same pairs, counts differ by less than a millionth, and lowbit's loss of the last epoch is not
more than 5 % above the program's (`--margin`). `--clock cpu` counts processor time, for one thread
on a machine that others use. `--quality` trains both with several seeds instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import process
import word_quality
from bench_word_vectors import CLOCKS, library_lines
from rivals import glove as rivals

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import glove as training
from lowbit.embeddings import word_training

MIN_COUNT = 5


class Lowbit:
    """The same steps as those of the programs, timed one by one."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.glove = lb.embeddings.GloveOptions(x_max=options.x_max, memory="4GB")
        self.seconds: dict[str, float] = {}

    def run(self, corpus: Path) -> tuple[_core.WordCorpus, tuple[np.ndarray, ...], float]:
        """The corpus, rows, columns and counts of its pairs, the mean loss of the last epoch."""
        dim, epochs = self.options.dim, self.options.epochs
        clock = CLOCKS[self.options.clock]
        times = [clock()]
        read = word_training.read_corpus(corpus, MIN_COUNT, None)
        times.append(clock())
        with tempfile.TemporaryFile() as file:
            counter = training.count_pairs(
                read, dim, self.options.window, self.glove, file.fileno(), False
            )
            times.append(clock())
            pairs = counter.pairs()
            begin = clock()
            table = training.start_table(len(read.counts), dim, 0)
            more = (self.glove.x_max, self.glove.alpha, self.glove.grad_clip, False, 0)
            trainer = _core.GloveTrainer(counter, table.reshape(len(table), -1), dim, 0.05, *more)
            times.append(times[-1] + clock() - begin)
            begin = clock()
            for epoch in range(epochs):
                _, loss, steps = trainer.run(epoch, 0, trainer.chunks)
            times.append(times[-1] + clock() - begin)
            self.seconds = dict(zip(rivals.PROGRAMS, np.diff(times).tolist(), strict=True))
            return read, pairs, loss / steps


def check_pairs(
    program: rivals.Glove, read: _core.WordCorpus, pairs: tuple[np.ndarray, ...]
) -> int:
    """How many pairs both have, each of two words counted twice."""
    words = word_training.decode_words(read.words)
    assert program.words() == words, "the vocabularies differ"
    rows, columns, counts = pairs
    twice = rows != columns  # the program has both orders
    rows, columns = np.r_[rows, columns[twice]], np.r_[columns, rows[twice]]
    order = np.lexsort((columns, rows))
    theirs = program.pairs()
    assert len(theirs) == len(order), f"{len(order)} pairs instead of {len(theirs)}"
    assert (theirs["row"] - 1 == rows[order]).all(), "the pairs differ"
    assert (theirs["column"] - 1 == columns[order]).all(), "the pairs differ"
    np.testing.assert_allclose(np.r_[counts, counts[twice]][order], theirs["count"], rtol=1e-6)
    return len(theirs)


def compare(corpus: Path, work: Path, options: argparse.Namespace) -> None:
    """Check, time and print."""
    seconds: dict[str, list[dict[str, float]]] = {"lowbit": [], "GloVe": []}
    ours = Lowbit(options)
    program = rivals.Glove(options.rival, work, options.clock)
    for number in range(options.rounds):
        program.count(corpus, options.window, MIN_COUNT)
        program.shuffle(0)
        theirs = program.train(options.dim, options.epochs, options.x_max, options.threads, 0)
        read, pairs, loss = ours.run(corpus)
        if number == 0:
            steps = check_pairs(program, read, pairs)
            allowed = (1 + options.margin) * theirs
            assert loss <= allowed, f"loss {loss:.5f} of the last epoch, above {allowed:.5f}"
        seconds["GloVe"].append(dict(program.seconds))
        seconds["lowbit"].append(dict(ours.seconds))
    print(f"\n{read.raw_words:,} words, {len(read.counts):,} of them different, {steps:,} pairs,")
    print(f"{options.dim} values, {options.epochs} epochs\n")
    best = {name: {p: min(r[p] for r in runs) for p in runs[0]} for name, runs in seconds.items()}
    rates = {
        name: [options.epochs * steps / run["glove"] for run in runs]
        for name, runs in seconds.items()
    }
    slowest = max(rates["GloVe"])
    rows = []
    for name, last in (("lowbit", loss), ("GloVe", theirs)):
        rate = rates[name]
        whole = [sum(run.values()) for run in seconds[name]]
        rows.append(
            [
                name,
                f"{np.median(rate):,.0f} ({min(rate):,.0f} - {max(rate):,.0f})",
                f"{max(rate) / slowest:.1f}",
                *(f"{best[name][step]:.2f}" for step in rivals.PROGRAMS[:3]),
                f"{min(whole):.2f}",
                f"{last:.5f}",
            ]
        )
    head = ["", "pairs/s (range)", "best times GloVe's best", "words, s", "counting, s"]
    process.print_table([*head, "shuffling, s", "all, s", "loss of the last epoch"], rows)


def compare_quality(corpus: Path, work: Path, options: argparse.Namespace) -> None:
    """Scores of both with several seeds."""
    program = rivals.Glove(options.rival, work)
    program.count(corpus, options.window, MIN_COUNT)

    def ours(plain_biases: bool, seed: int) -> lb.WordVectors:
        return lb.WordVectors.train(
            corpus,
            "glove",
            options.dim,
            window=options.window,
            min_count=MIN_COUNT,
            epochs=options.epochs,
            seed=seed,
            glove=lb.embeddings.GloveOptions(x_max=options.x_max, plain_biases=plain_biases),
        )

    def theirs(seed: int) -> lb.WordVectors:
        program.shuffle(seed)
        program.train(options.dim, options.epochs, options.x_max, options.threads, seed, text=True)
        vectors = lb.WordVectors.load(work / "vectors.txt")
        return vectors.restrict([word for word in vectors if word != "<unk>"])

    subjects = {
        "lowbit": partial(ours, True),
        "lowbit, scaled biases": partial(ours, False),
        "GloVe": theirs,
    }
    word_quality.compare(subjects, options.seeds, *options.quality)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rival", type=Path, required=True, help="folder of GloVe's programs")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--megabytes", type=float, default=8, help="of Python's library")
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--window", type=int, default=15)
    parser.add_argument("--x-max", type=float, default=100)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: of all threads")
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--quality", type=Path, nargs=2, metavar=("PAIRS", "ANALOGIES"))
    parser.add_argument("--seeds", type=int, default=10, help="of --quality")
    options = parser.parse_args()
    if missing := rivals.missing(options.rival):
        sys.exit(
            f"bench_glove: {options.rival} has no {', '.join(missing)}; build "
            "github.com/stanfordnlp/GloVe with make and pass its folder build"
        )
    lb.set_num_threads(options.threads)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus
        if corpus is None:
            corpus = Path(folder) / "corpus.txt"
            lines = library_lines(int(options.megabytes * 1e6))
            corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
        (compare_quality if options.quality else compare)(corpus.resolve(), Path(folder), options)


if __name__ == "__main__":
    main()
