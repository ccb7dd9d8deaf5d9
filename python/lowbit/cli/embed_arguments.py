"""The options of `embed` and `distill`."""

from __future__ import annotations

import argparse

from lowbit.cli.option_values import number, whole, whole_numbers, words
from lowbit.cli.shared_options import (
    add_batch_size,
    add_model_folder,
    add_text_column,
    add_text_count,
)

# As lowbit.models.pooling.POOLINGS and others, which take a while to import; a test compares them.
POOLINGS = ["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
COMBINATIONS = ["mean", "concat"]
PIECES = ["mean", "first"]
UNITS = ["text", "word", "token"]
TABLES = ["fp32", "fp16", "int8"]


def add_embed_options(parser: argparse.ArgumentParser) -> None:
    """All but those of the model and of how texts are read."""
    parser.add_argument(
        "input", metavar="FILE", help="one text a line (.txt, or - for standard input), or a table"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="vectors.npy (float32) or vectors.jsonl; of words and tokens also vectors.npz, with "
        "their places (default: JSONL on standard output)",
    )
    parser.add_argument("--pooling", choices=POOLINGS, help="default: what the model says")
    parser.add_argument(
        "--no-normalize", action="store_true", help="leave the length of the vectors as it is"
    )
    add_batch_size(parser)
    layers = parser.add_argument_group("layers")
    layers.add_argument(
        "--layer",
        type=whole_numbers,
        default=[-1],
        metavar="N,N",
        help="whose states to take: 0 is what goes into the first, -1 the last (default); several "
        "as --layer=-2,-1",
    )
    layers.add_argument(
        "--combine",
        choices=COMBINATIONS,
        default="mean",
        help="several layers: their mean, or side by side (default: %(default)s)",
    )
    layers.add_argument(
        "--center", action="store_true", help="subtract the mean of all vectors from each"
    )
    _add_words(parser.add_argument_group("words and tokens"))


def _add_words(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--unit", choices=UNITS, help="what gets a vector (default: text; word with --words)"
    )
    group.add_argument(
        "--words", type=words, metavar="A,B", help="only these words, wherever they stand"
    )
    group.add_argument(
        "--pieces",
        choices=PIECES,
        default="mean",
        help="a word's vector: the mean of its tokens, or the first (default: %(default)s)",
    )
    group.add_argument(
        "--plot", metavar="FILE", help="draw the words of --words as points into a .png"
    )
    group.add_argument(
        "--label-column",
        metavar="NAME",
        help="column that says which sense the words have in each text: colours of --plot",
    )


def add_distill_options(parser: argparse.ArgumentParser) -> None:
    """All options of the command."""
    add_model_folder(parser)
    parser.add_argument(
        "--dim",
        type=whole(0, 65536),
        default=256,
        metavar="N",
        help="principal components to keep; 0 for the vectors as they are (default: %(default)s)",
    )
    parser.add_argument(
        "--format", choices=TABLES, default="fp16", help="of the table (default: %(default)s)"
    )
    parser.add_argument(
        "--words", metavar="FILE", help="words that get rows of their own, one a line"
    )
    parser.add_argument(
        "--sif",
        type=number(0, 1),
        default=1e-4,
        metavar="A",
        help="frequent tokens count A / (A + their share); 0 for all alike (default: %(default)s)",
    )
    parser.add_argument(
        "--pooling", choices=POOLINGS, default="mean", help="of each token (default: %(default)s)"
    )
    parser.add_argument(
        "--check", metavar="FILE", help="texts whose cosines are compared with those of the model"
    )
    add_text_column(parser, of="--check")
    add_text_count(parser, 3, 10_000, "of --check to use, spread over the file")
