"""How good word vectors are: several trainings of each subject, their spread, and what differs.

    LOWBIT_SHARED_DATA=FOLDER python benchmarks/word_quality.py corpus.txt

writes the corpus of docs/performance.md: the English texts of the shared data as words in lower
case, a line of the text on each line. bench_word_vectors.py and bench_glove.py have `--quality`,
which prints a table: mean, standard deviation and range over the seeds, and t, the difference from
the rival's mean by its standard error (Welch, 1947). With ten seeds each, chance alone gives a |t|
above 2.1 once in twenty times.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import process

import lowbit as lb

TEXTS = ("wikitext2_valid_tokenized", "tinyshakespeare", "botchan", "taylorswift")
MEASURES = {"analogies, %": 2, "pairs, Spearman": 3}  # and decimals
Scores = list[tuple[float, ...]]  # of each seed, by measure


def english_lines(folder: Path) -> list[str]:
    """Of Wikipedia, plays, a novel, songs' articles, a few stories and film reviews."""
    texts = [
        (folder / f"corpora/{name}.txt").read_text("utf-8", errors="replace").replace("<unk>", " ")
        for name in (*TEXTS, "tinystories_sample")
    ]
    reviews = (folder / "sentiment/SST2_train.tsv").read_text("utf-8").split("\n")
    texts += [review.partition("\t")[0] for review in reviews]
    lines = [line for text in texts for line in text.lower().split("\n")]
    found = [re.findall("[a-z]+(?:'[a-z]+)?", line) for line in lines]
    return [" ".join(words) for words in found if words]


def score(vectors: lb.WordVectors, pairs: Path, analogies: Path) -> tuple[float, ...]:
    """By measure."""
    asked = vectors.evaluate_analogies(analogies)
    right = 100 * asked.correct / max(asked.total, 1)
    return right, vectors.evaluate_word_pairs(pairs).spearman


def welch(ours: list[float], theirs: list[float]) -> float:
    """The difference of two means by its standard error; 0 for one seed, or no spread."""
    if len(ours) < 2 or len(theirs) < 2:
        return 0.0
    error = sum(statistics.variance(one) / len(one) for one in (ours, theirs)) ** 0.5
    return (statistics.fmean(ours) - statistics.fmean(theirs)) / error if error else 0.0


def compare(
    subjects: dict[str, Callable[[int], lb.WordVectors]],
    seeds: int,
    pairs: Path,
    analogies: Path,
) -> None:
    """Train every subject with each seed in turn, and print the table; the last is the rival."""
    scores: dict[str, Scores] = {name: [] for name in subjects}
    for seed in range(seeds):
        for name, train in subjects.items():
            scores[name].append(score(train(seed), pairs, analogies))
        print(f"\rseed {seed + 1} of {seeds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print_scores(scores)


def print_scores(scores: dict[str, Scores]) -> None:
    *_, rival = scores
    rows = []
    for name, found in scores.items():
        row = [name]
        for i, digits in enumerate(MEASURES.values()):
            values, theirs = ([one[i] for one in some] for some in (found, scores[rival]))
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            row.append(f"{statistics.fmean(values):.{digits}f} +- {deviation:.{digits}f}")
            row.append(f"{min(values):.{digits}f} - {max(values):.{digits}f}")
            row.append("" if name == rival else f"{welch(values, theirs):.1f}")
        rows.append(row)
    head = [column for measure in MEASURES for column in (measure, "range", "t")]
    process.print_table(["", *head], rows)


def main() -> None:
    folder = os.environ.get("LOWBIT_SHARED_DATA")
    if not folder or len(sys.argv) != 2:
        sys.exit("LOWBIT_SHARED_DATA=FOLDER python benchmarks/word_quality.py CORPUS")
    lines = english_lines(Path(folder))
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{sum(line.count(' ') + 1 for line in lines):,} words on {len(lines):,} lines")


if __name__ == "__main__":
    main()
