"""From the command line to a command, and from exceptions to one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from lowbit import set_num_threads
from lowbit.cli.arguments import make_parser
from lowbit.cli.console import Console, one_line
from lowbit.cli.exit_codes import INPUT_AT_FAULT, INTERRUPTED, NOBODY_READS

# What the library raises for its input. Anything else is a defect of lowbit, whose traceback is
# wanted in a report.
INPUT_ERRORS = (OSError, ValueError, FloatingPointError, MemoryError)

# How the library's arguments are called on the command line.
OPTION_NAMES = {
    "allow_empty=True": "--allow-empty",
    "text_column": "--text-column",
    "label_column": "--label-column",
    "pattern=,": "--pattern,",
    'pattern="': '--pattern "',
    "vocab_size": "--vocab-size",
    "special_tokens": "--special-tokens",
    "lower min_count": "lower --min-count",
    "or symmetric=True": "or leave --asymmetric out",
    "scale_dtype": "--scale-dtype",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after `lowbit`; those of the process when None.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    SystemExit: 0
    """
    args = make_parser().parse_args(argv)
    console = Console(json=args.json, quiet=args.quiet)
    debug = os.environ.get("LOWBIT_DEBUG", "") not in ("", "0")
    try:
        if args.threads is not None:
            set_num_threads(args.threads)
        with _warnings_on(console):
            # Imported when it is chosen, so that `--help` and `doctor` start at once.
            name = args.command.replace("-", "_")
            command = importlib.import_module(f"lowbit.cli.{name}")
            code = command.run(args, console)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # The reader of a pipe has left; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except KeyboardInterrupt:
        if debug:
            raise
        console.notice(f"interrupted; {console.checkpoint_note()}")
        return INTERRUPTED
    except INPUT_ERRORS as error:
        if debug:
            raise
        console.notice(f"error: {_explain(error)}")
        return INPUT_AT_FAULT


def _explain(error: BaseException) -> str:
    """The message of an exception on one line, with names as they are typed."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:  # str() would begin with the number
        text = error.strerror
        if error.filename is not None:
            text = f"{error.filename}: {text}"
    if isinstance(error, MemoryError):
        text = "not enough memory; try a smaller --batch-size"
    for name, option in OPTION_NAMES.items():
        text = text.replace(name, option)
    return one_line(text) or type(error).__name__


@contextmanager
def _warnings_on(console: Console) -> Iterator[None]:
    """Show the library's warnings as one line each."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        console.notice(f"warning: {one_line(str(message))}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
