"""Training of word vectors on one thread and on several, in turn, one corpus.

    python benchmarks/bench_word_vector_threads.py --corpus corpus.txt --threads 2 --rounds 5

The corpus is a file with a sentence on each line; without one, words of Python's own library. Every
fiftieth line is left out of the training. Before the clock counts, the loss of its windows is
computed in double precision from the tables of both: that of several threads must not be more than
3 % above that of one (`--margin`). Words per second are those of the training alone, without the
reading of the corpus.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import process
from bench_word_vectors import corpus_lines, held_out_loss, lowbit_training

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import word_training as training
from lowbit.embeddings.word_settings import LOSSES


def compare(corpus: Path, held_out: list[str], method: str, options: argparse.Namespace) -> None:
    """Check, time and print one method."""
    settings = {"dim": options.dim, "window": 5, "negative": 5, "min_count": 5, "sample": 1e-3}
    settings |= {"epochs": options.epochs, "lr": 0.025, "loss": options.loss}
    train = lowbit_training(corpus, method, settings, 0, options.deterministic)
    count = len(training.read_corpus(corpus, settings["min_count"], None).tokens)
    losses: dict[int, float] = {}
    for threads in (1, options.threads):
        lb.set_num_threads(threads)
        losses[threads] = held_out_loss(train(), held_out, method, settings["window"])
    allowed = (1 + options.margin) * losses[1]
    got = losses[options.threads]
    assert got <= allowed, f"loss {got:.4f} of held-out windows, above {allowed:.4f}"
    rates: dict[int, list[float]] = {1: [], options.threads: []}
    for _ in range(options.rounds):
        for threads, rate in rates.items():
            lb.set_num_threads(threads)
            begin = time.perf_counter()
            train()
            rate.append(options.epochs * count / (time.perf_counter() - begin))
    rows = [
        [
            f"{threads} threads",
            f"{statistics.median(rate):,.0f} ({min(rate):,.0f} - {max(rate):,.0f})",
            f"{statistics.median(rate) / statistics.median(rates[1]):.2f}",
            f"{max(rate) / max(rates[1]):.2f}",
            f"{losses[threads]:.4f}",
        ]
        for threads, rate in rates.items()
    ]
    print(f"\n{method}, {options.loss}, {count:,} words, {options.epochs} epochs\n")
    head = ["", "words/s (range)", "of medians", "of bests", "loss of held-out windows"]
    process.print_table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--megabytes", type=float, default=20, help="of Python's library")
    parser.add_argument(
        "--methods", nargs="+", choices=training.PREDICTING, default=training.PREDICTING
    )
    parser.add_argument("--loss", choices=LOSSES, default=LOSSES[0])
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--margin", type=float, default=0.03)
    options = parser.parse_args()
    lines = corpus_lines(options)
    print(f"{process.machine()}, {_core.active_isa()}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        kept = [line for i, line in enumerate(lines) if i % 50]
        corpus.write_text("\n".join(kept) + "\n", encoding="utf-8")
        for method in options.methods:
            compare(corpus, lines[::50], method, options)


if __name__ == "__main__":
    main()
