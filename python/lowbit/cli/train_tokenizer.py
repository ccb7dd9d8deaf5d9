"""`lowbit train-tokenizer`: a vocabulary from text files, as tokenizer.json."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np

from lowbit.cli.console import Console, Progress, clip, clock_time, columns, table
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.cli.outputs import check_output
from lowbit.cli.text_input import read_text
from lowbit.tokenizers import Tokenizer
from lowbit.tokenizers.pieces import Names, token_parts
from lowbit.tokenizers.screen import Marks, marks_of, printable
from lowbit.tokenizers.view import Counts

MENTIONED = 12  # tokens of each kind in the table
WIDTH = 40
LINES_AT_ONCE = 10_000


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, learn, write, measure; returns the exit code."""
    path = check_output("train-tokenizer", args.output, (".json",))
    console.unfinished = "no tokenizer was written"
    if args.lowercase and args.model == "bpe":
        raise ValueError("train-tokenizer: bpe keeps the case of its texts; leave out --lowercase")
    if args.min_count > 1 and args.model == "unigram":
        raise ValueError("train-tokenizer: unigram has no --min-count; leave it out")
    specials = _special_tokens(args)
    corpus = _Corpus(args.corpus)
    watch = Stopwatch()
    with console.progress("reading") as bar:
        tokenizer = Tokenizer.train(
            corpus.lines(bar, "reading, kB:"),
            args.model,
            args.vocab_size,
            specials,
            args.lowercase,
            args.min_count,
            progress=_learning(bar),
        )
    tokenizer.save(path)
    seconds = watch.seconds
    console.unfinished = f"the tokenizer is in {path}"
    with console.progress("measuring") as bar:
        counts, frequencies = _measure(tokenizer, corpus.lines(bar, "measuring, kB:"))
    _report(args, tokenizer, counts, frequencies, seconds, console)
    return OK


class _Corpus:
    """Text files, read line by line as often as need be."""

    def __init__(self, paths: list[str]) -> None:
        for path in paths:
            if path == "-":
                raise ValueError(
                    "train-tokenizer: the corpus is read twice, so it must be files; got -"
                )
        # Known now, not after the files before it were read.
        self._total = sum(Path(path).stat().st_size for path in paths)
        self._paths = paths

    def lines(self, bar: Progress, label: str) -> Iterator[str]:
        """Lines with their ends."""
        bar.begin(label)
        before = 0
        for path in self._paths:

            def show(done: int, _total: int, before: int = before) -> None:
                bar.update((before + done) // 1000, max(self._total // 1000, 1))

            held: list[str] = []
            for chunk in read_text(path, show):
                *whole, rest = chunk.split("\n")
                for line in whole:
                    yield "".join([*held, line, "\n"])
                    held = []
                held.append(rest)
            if last := "".join(held):
                yield last
            before += Path(path).stat().st_size


def _special_tokens(args: argparse.Namespace) -> list[str] | None:
    if args.special_tokens is None:
        return None
    names = args.special_tokens.split(",") if args.special_tokens else []
    if "" in names:
        raise ValueError(
            f"train-tokenizer: --special-tokens has an empty name; got {args.special_tokens!r}"
        )
    return names


def _learning(bar: Progress) -> Callable[[str, int, int], None]:
    def show(stage: str, done: int, total: int) -> None:
        if bar.label != stage:
            bar.begin(stage)
        bar.update(done, max(total, 1))

    return show


def _measure(tokenizer: Tokenizer, lines: Iterator[str]) -> tuple[Counts, np.ndarray]:
    """Length of the corpus in tokens, and how often each comes."""
    unknown = Names.of(tokenizer.spec).unknown
    counts = Counts()
    frequencies = np.zeros(max(tokenizer.spec.tokens_by_id()) + 1, np.int64)
    while texts := list(islice(lines, LINES_AT_ONCE)):
        ids = tokenizer.encode_batch(texts, add_special_tokens=False).ids
        missing = int(np.count_nonzero(ids == unknown))
        counts += Counts.of("".join(texts), len(ids), missing)
        frequencies += np.bincount(ids, minlength=len(frequencies))
    return counts, frequencies


def _report(
    args: argparse.Namespace,
    tokenizer: Tokenizer,
    counts: Counts,
    frequencies: np.ndarray,
    seconds: float,
    console: Console,
) -> None:
    tokens = tokenizer.spec.tokens_by_id()
    used = [id for id in np.argsort(-frequencies, kind="stable").tolist() if frequencies[id]]
    ordinary = tokens.keys() - Names.of(tokenizer.spec).special
    parts = {id: token_parts(tokenizer.spec, tokens[id]) for id in ordinary}
    long = sorted(ordinary, key=lambda id: (-sum(map(len, parts[id])), id))[:MENTIONED]
    frequent = used[:MENTIONED]
    size = Path(args.output).stat().st_size
    files = "1 file" if len(args.corpus) == 1 else f"{len(args.corpus)} files"
    per_word = f"{counts.tokens_per_word or 0:.2f} per word"
    rows = [
        ("tokenizer", f"{args.model}, {tokenizer.vocab_size:,} tokens, {args.output}"),
        ("corpus", f"{files}, {counts.bytes:,} bytes, {counts.characters:,} characters"),
        ("length", f"{counts.tokens:,} tokens, {per_word}, {counts.unknown:,} unknown"),
        ("compression", f"{counts.bytes_per_token or 0:.2f} bytes per token"),
        ("in use", f"{len(used):,} tokens come in the corpus"),
        ("time", f"{clock_time(seconds)}, {counts.bytes / seconds / 1e6:.1f} MB/s"),
        ("file", megabytes(size)),
        ("peak memory", megabytes(peak_memory())),
        ("kernels", machine_line()),
    ]
    console.result(table(rows))
    shown = {id: parts.get(id, (tokens[id],)) for id in (*frequent, *long)}
    console.result("\n" + _token_table(frequent, long, frequencies, shown, marks_of(console.out)))
    console.document(
        {
            "command": "train-tokenizer",
            "machine": machine(),
            "corpus": args.corpus,
            "output": args.output,
            "model": args.model,
            "vocab_size": tokenizer.vocab_size,
            "file_bytes": size,
            "summary": counts.summary(),
            "tokens_in_use": len(used),
            "most_frequent": [
                {"id": id, "token": tokens[id], "count": int(frequencies[id])} for id in frequent
            ],
            "longest": [{"id": id, "token": tokens[id]} for id in long],
            "seconds": seconds,
            "peak_memory_bytes": peak_memory(),
        }
    )


def _token_table(
    frequent: list[int],
    long: list[int],
    frequencies: np.ndarray,
    parts: dict[int, tuple[str | bytes, ...]],
    marks: Marks,
) -> str:
    def shown(id: int) -> str:
        return clip(
            "".join(text for part in parts[id] for text, _ in printable(part, marks)), WIDTH
        )

    left = [(shown(id), f"{frequencies[id]:,}") for id in frequent]
    right = [shown(id) for id in long]
    both = zip_longest(left, right)
    rows = [(*(a or ("", "")), b or "") for a, b in both]
    return columns([("most frequent", "times", "longest"), *rows])
