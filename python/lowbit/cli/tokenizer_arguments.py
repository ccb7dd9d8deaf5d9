"""The options of the commands for tokenizers."""

from __future__ import annotations

import argparse

from lowbit.cli.option_values import BUNDLED, whole

TRAINED = ["bpe", "wordpiece", "unigram", "word", "character"]


def add_tokenize_options(parser: argparse.ArgumentParser) -> None:
    """Of `lowbit tokenize`."""
    parser.add_argument("input", metavar="FILE", help="UTF-8 text, or - for standard input")
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="tokenizer.json, *.tiktoken, *.model, vocab.txt, vocab.json, or a folder with one "
        f"(default: that of {BUNDLED})",
    )
    parser.add_argument(
        "--pattern",
        metavar="NAME",
        help="how an unknown .tiktoken file cuts texts into words: a name such as o200k, or a "
        "regular expression",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="ids.npz (ids and indptr) or ids.npy; with --decode a text file",
    )
    _add_form(parser)


def _add_form(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--count", action="store_true", help="print the number of tokens")
    form.add_argument("--ids", action="store_true", help="print the ids, a line for each text")
    form.add_argument(
        "--offsets",
        action="store_true",
        help="print a line for each token: id, first character, the one behind its last, token",
    )
    form.add_argument(
        "--decode",
        action="store_true",
        help="FILE has ids (.npz, .npy or numbers): write their text",
    )
    parser.add_argument("--lines", action="store_true", help="every line is a text of its own")
    parser.add_argument(
        "--no-special",
        action="store_true",
        help="put no special tokens round the text; with --decode leave them out",
    )
    parser.add_argument(
        "--head",
        type=whole(0, 10**9),
        default=2000,
        metavar="N",
        help="tokens to show; 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set (default: %(default)s)",
    )


def add_train_tokenizer_options(parser: argparse.ArgumentParser) -> None:
    """Of `lowbit train-tokenizer`."""
    parser.add_argument("corpus", metavar="FILE", nargs="+", help="UTF-8 text")
    parser.add_argument(
        "--model",
        choices=TRAINED,
        default="bpe",
        help="bpe: byte-level as GPT-2; wordpiece: as BERT; unigram: as sentencepiece; word, "
        "character: the most frequent ones (default: %(default)s)",
    )
    parser.add_argument(
        "--vocab-size",
        type=whole(1, 10**9),
        metavar="N",
        help="tokens, special ones included (default: 30000; all words or characters)",
    )
    parser.add_argument(
        "--special-tokens",
        metavar="A,B",
        help="get the first ids (default: those of the model's family)",
    )
    parser.add_argument(
        "--min-count",
        type=whole(1, 10**9),
        default=1,
        metavar="N",
        help="leave out rarer words or pairs of pieces; not for unigram (default: %(default)s)",
    )
    parser.add_argument(
        "--lowercase",
        action=argparse.BooleanOptionalAction,
        help="not for bpe (default: for wordpiece, word and character)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="tokenizer.json to write"
    )
