"""The options of the commands for word vectors."""

from __future__ import annotations

import argparse

from lowbit.cli.option_values import number, whole


def vector_method(text: str) -> str:
    """A converter for the names that `WordVectors.train` knows.

    Examples
    --------
    >>> vector_method("cbow")
    'cbow'
    """
    from lowbit.embeddings.word_training import METHODS  # which takes a while to import

    if text not in METHODS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(METHODS)}; got {text!r}")
    return text


def add_train_vectors_options(parser: argparse.ArgumentParser) -> None:
    """Of `lowbit train-vectors`."""
    parser.add_argument(
        "corpus",
        metavar="FILE",
        nargs="+",
        help="UTF-8 text: a line is a sentence, white space separates words",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="vectors.safetensors, .bin (word2vec's; fastText's for fasttext), .txt or .vec",
    )
    parser.add_argument(
        "--method",
        type=vector_method,
        metavar="NAME",
        help="skipgram, cbow, fasttext or another of WordVectors.train (default: skipgram)",
    )
    parser.add_argument(
        "--dim", type=whole(1, 65536), metavar="N", help="length of a vector (default: 100)"
    )
    parser.add_argument(
        "--evaluate",
        metavar="FILE",
        action="append",
        default=[],
        help="analogies (questions-words.txt) or judged pairs (wordsim353.tsv); may be repeated",
    )
    _add_settings(parser.add_argument_group("settings", "by default those of WordVectors.train"))
    _add_checkpoints(parser.add_argument_group("going on"))


def _add_settings(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--window", type=whole(1, 10_000), metavar="N", help="words on either side at most"
    )
    group.add_argument("--negative", type=whole(1, 1000), metavar="N", help="random words")
    group.add_argument(
        "--min-count", type=whole(1, 10**9), metavar="N", help="leave out rarer words"
    )
    group.add_argument(
        "--max-vocab", type=whole(1, 10**9), metavar="N", help="keep the most frequent words"
    )
    group.add_argument(
        "--sample", type=number(0, 1), metavar="S", help="thin out words of a larger share; 0: none"
    )
    group.add_argument("--epochs", type=whole(1, 100_000), metavar="N")
    group.add_argument("--lr", type=number(0, 10, open_low=True), metavar="X")
    group.add_argument("--seed", type=whole(0, 2**63 - 1), metavar="N")
    group.add_argument(
        "--deterministic",
        action="store_true",
        default=None,
        help="the same vectors on any number of threads",
    )


def _add_checkpoints(group: argparse._ArgumentGroup) -> None:
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="run.safetensors, written while it trains and when that is interrupted",
    )
    either.add_argument(
        "--resume",
        metavar="FILE",
        help="go on with the training of a --checkpoint, with the same corpus and its settings",
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=number(0, 1e9),
        default=600,
        metavar="S",
        help="between two checkpoints (default: %(default)s)",
    )


def add_similar_options(parser: argparse.ArgumentParser) -> None:
    """Of `lowbit similar`."""
    parser.add_argument(
        "vectors", metavar="FILE", help="word vectors in any format that WordVectors.load reads"
    )
    parser.add_argument("words", metavar="WORD", nargs="*", help="whose neighbours are sought")
    parser.add_argument(
        "--analogy",
        nargs=3,
        action="append",
        default=[],
        metavar=("A", "B", "C"),
        help="A is to B as C is to what? May be repeated",
    )
    parser.add_argument(
        "--top", type=whole(1, 10_000), default=10, metavar="N", help="answers (%(default)s)"
    )
    parser.add_argument(
        "--limit", type=whole(1, 10**9), metavar="N", help="read only the first so many words"
    )
