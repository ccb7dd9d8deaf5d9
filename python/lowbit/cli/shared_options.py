"""What several commands have: options that are declared once."""

from __future__ import annotations

import argparse

from lowbit.cli.option_values import BUNDLED, whole


def add_model_folder(parser: argparse._ActionsContainer) -> None:
    """The model of a command that makes another of it."""
    parser.add_argument(
        "model",
        metavar="FOLDER",
        nargs="?",
        help=f"BERT-family folder (default: {BUNDLED})",
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="folder to make")


def add_text_column(parser: argparse._ActionsContainer, of: str = "") -> None:
    """Where the texts of a table, or those `of` a file, are."""
    help_ = f"column of the texts{of and f' of {of}'}"
    parser.add_argument("--text-column", metavar="NAME", help=help_)


def add_allow_empty(parser: argparse._ActionsContainer) -> None:
    """Whether empty texts are no mistake."""
    parser.add_argument("--allow-empty", action="store_true", help="accept empty texts")


def add_text_count(parser: argparse._ActionsContainer, low: int, high: int, of: str) -> None:
    """How many texts are used, `low` to `high`, `of` which files."""
    parser.add_argument(
        "--texts",
        type=whole(low, high),
        default=400,
        metavar="N",
        help=f"{of} (default: %(default)s)",
    )


def add_batch_size(parser: argparse._ActionsContainer) -> None:
    """Of training and of embedding."""
    parser.add_argument("--batch-size", type=whole(1, 4096), default=32, metavar="N")


def add_no_plot(parser: argparse._ActionsContainer) -> None:
    """Whether matplotlib is asked for at all."""
    parser.add_argument("--no-plot", action="store_true", help="draw no picture")
