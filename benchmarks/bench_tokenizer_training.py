"""Vocabularies from a corpus: lowbit beside rustbpe, gigatoken, sentencepiece and tokenizers.

    python benchmarks/bench_tokenizer_training.py --size 8000 --megabytes 1 8

The corpus is what every machine has, the sources of Python's own library; `--corpus FILE ...` takes
others. Documents are files, in memory; all train in one process and take turns. Byte-pair merges
are compared with those of the tokenizers library before the clock, WordPiece and unigram by the
tokens that the vocabulary needs for the corpus. Rivals that are not installed are left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import process
from rivals import tokenizer_training as rivals

import lowbit as lb
from lowbit import _core


def read_corpus(paths: list[Path], nbytes: int) -> list[str]:
    """Documents of together at most so many bytes."""
    documents, left = [], nbytes
    for path in paths:
        text = path.read_bytes().decode("utf-8", errors="replace")[:left]
        if text:
            documents.append(text)
            left -= len(text.encode())
        if left <= 0:
            break
    return documents


def squeezed(documents: list[str]) -> list[str]:
    """Words with one space between them, as sentencepiece makes of any text."""
    lines = ([" ".join(line.split()) for line in text.split("\n")] for text in documents)
    return ["\n".join(line for line in some if line) for some in lines]


def lowbit_trainer(model: str, documents: list[str], size: int) -> Callable[[], lb.Tokenizer]:
    """Byte-pair encoding without special tokens, so that its merges can be compared; unigram takes
    lines, as sentencepiece does."""
    specials: dict[str, Any] = {"special_tokens": []} if model == "bpe" else {}

    def train() -> lb.Tokenizer:
        texts = rivals.lines(documents) if model == "unigram" else documents
        return lb.Tokenizer.train(texts, model=model, vocab_size=size, **specials)

    return train


FAMILIES: dict[str, list[Callable[[list[str], int], Callable[[], Any]]]] = {
    "bpe": [
        rivals.rustbpe,
        rivals.gigatoken,
        rivals.sentencepiece_bpe,
        rivals.tokenizers_bpe,
    ],
    "wordpiece": [rivals.tokenizers_wordpiece],
    "unigram": [rivals.sentencepiece_unigram],
}


def check(family: str, documents: list[str], size: int, ours: lb.Tokenizer) -> str:
    """Raise AssertionError where the vocabulary is not what it must be; says what was compared."""
    joined = "\n".join(documents)
    count = ours.count(joined)
    if family == "bpe":
        theirs = rivals.tokenizers_bpe(documents, size)()
        merges = [tuple(pair) for pair in ours.spec.model.merges]
        assert merges == theirs, "the merges differ from those of the tokenizers library"
        return f"{len(merges)} merges equal to those of tokenizers"
    if family == "wordpiece":
        theirs = rivals.tokenizers_wordpiece(documents, size)()
        other = len(theirs.encode(joined, add_special_tokens=False).ids)
    else:
        import sentencepiece

        model = rivals.sentencepiece_unigram(documents, size)()
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        lines = joined.split("\n")
        other = sum(map(len, processor.encode(lines)))
        count = int(ours.count_batch(lines).sum())
    assert count <= 1.01 * other, f"{count} tokens for the corpus, the rival has {other}"
    return f"{count} tokens for the corpus, the rival {other}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 8])
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--corpus", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)  # before any rival starts its threads
    lb.set_num_threads(options.threads)
    paths = options.corpus or sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    paths += [] if options.corpus else sorted(Path(sysconfig.get_path("stdlib")).glob("*/*.py"))
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    for megabytes in options.megabytes:
        corpus = read_corpus(paths, int(megabytes * 1e6))
        for family in options.families:
            documents = squeezed(corpus) if family == "unigram" else corpus
            subjects = {f"lowbit {family}": lowbit_trainer(family, documents, options.size)}
            for make in FAMILIES[family]:
                try:
                    subjects[make.__name__] = make(documents, options.size)
                except ImportError as error:
                    print(f"{make.__name__} left out: {error}")
            tokenizer = next(iter(subjects.values()))()
            compared = check(family, documents, options.size, tokenizer)
            seconds: dict[str, list[float]] = {name: [] for name in subjects}
            for _ in range(options.rounds):
                for name, train in subjects.items():
                    begin = time.perf_counter()
                    train()
                    seconds[name].append(time.perf_counter() - begin)
            ours = statistics.median(seconds[f"lowbit {family}"])
            rows = [
                [
                    name,
                    f"{statistics.median(taken):.3f} ({min(taken):.3f} - {max(taken):.3f})",
                    f"{statistics.median(taken) / ours:.2f}",
                ]
                for name, taken in seconds.items()
            ]
            nbytes = sum(len(text.encode()) for text in documents)
            print(f"\n{family}, {options.size} tokens, {nbytes / 1e6:.1f} MB; {compared}\n")
            process.print_table(["", "seconds (range)", "times lowbit's"], rows)


if __name__ == "__main__":
    main()
