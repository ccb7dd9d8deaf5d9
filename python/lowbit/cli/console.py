"""What the commands write: results, narration, notices, one JSON document, a progress bar."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

BAR_CELLS = 24
TTY_INTERVAL = 0.1
PLAIN_INTERVAL = 5.0
MAX_CELL = 100


class Console:
    """Two streams and what belongs on which.

    Narration and results go to standard output. With `json`, standard output carries the JSON
    document alone and the rest goes to standard error. `quiet` leaves the results only.

    Parameters
    ----------
    json, quiet
        The options of the same names.
    out, err
        Streams; None for those of the process.

    Attributes
    ----------
    checkpoint : str or None
        Folder of the last whole checkpoint, for whoever interrupts.
    unfinished : str
        What is to be said instead where there is none.
    """

    def __init__(
        self,
        json: bool = False,
        quiet: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.checkpoint: str | None = None
        self.unfinished = "no checkpoint had been written"
        self._progress: Progress | None = None

    def say(self, text: str = "") -> None:
        """Narrate; nothing with `quiet`."""
        if not self.quiet:
            self._print(text, self.err if self.json else self.out)

    def result(self, text: str) -> None:
        """Print what the command was run for; with `json`, `document` does that."""
        if not self.json:
            self._print(text, self.out)
        else:
            self.say(text)

    def document(self, content: dict[str, Any]) -> None:
        """Print the JSON document, with `json`."""
        if self.json:
            self._print(to_json(content), self.out)

    def notice(self, text: str) -> None:
        """One line on standard error whatever the options are."""
        self._print(f"lowbit: {text}", self.err)

    def heading(self, text: str) -> None:
        """Begin a part of the narration."""
        stream = self.err if self.json else self.out
        bold = stream.isatty()
        self.say()
        self.say(f"\x1b[1m{text}\x1b[0m" if bold else text)

    def progress(self, label: str) -> Progress:
        """A bar for one long piece of work; close it, or use it in a `with` statement."""
        self._progress = Progress(label, self.err, silent=self.quiet)
        return self._progress

    def checkpoint_note(self) -> str:
        """What an interrupted run leaves behind."""
        if self.checkpoint is None:
            return self.unfinished
        return f"a valid checkpoint is in {one_line(self.checkpoint)}"

    def _print(self, text: str, stream: TextIO) -> None:
        if self._progress is not None:
            self._progress.clear()
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            plain = text.encode(encoding, "backslashreplace").decode(encoding)
            print(plain, file=stream, flush=True)


class Progress:
    """A bar with rate and remaining time on a terminal, a line now and then elsewhere.

    Parameters
    ----------
    label
        What is being done.
    stream
        Where it is shown.
    silent
        Show nothing.
    clock
        Seconds from any origin.
    """

    def __init__(
        self,
        label: str,
        stream: TextIO,
        silent: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self.stream = stream
        self.silent = silent
        self.clock = clock
        self.tty = stream.isatty()
        self._begin = self._last = clock()
        self._drawn = False
        self._cells = _bar_characters(stream)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.clear()

    def begin(self, label: str) -> None:
        """Go over to another piece of work."""
        self.label = label
        self._begin = self._last = self.clock()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` is done; most calls return at once.

        Parameters
        ----------
        done, total
            Counted in whatever unit; `total` at least 1.
        note
            A few words, such as loss and rate.
        """
        now = self.clock()
        interval = TTY_INTERVAL if self.tty else PLAIN_INTERVAL
        if self.silent or (now - self._last < interval and (done < total or not self.tty)):
            return
        self._last = now
        left = (now - self._begin) * (total - done) / max(done, 1)
        if not self.tty:
            parts = [f"{done} of {total}", note, f"{clock_time(left)} left"]
            print(f"{self.label}: {', '.join(p for p in parts if p)}", file=self.stream, flush=True)
            return
        parts = [f"{done}/{total}", note, f"{clock_time(left)} left"]
        text = f"{self.label} {self._bar(done / total)} {'  '.join(p for p in parts if p)}"
        width = shutil.get_terminal_size().columns - 1
        self.stream.write(f"\r{text[:width]}\x1b[K")
        self.stream.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take the bar off the terminal, so that something else can be written there."""
        if self._drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self._drawn = False

    def _bar(self, fraction: float) -> str:
        full, empty = self._cells
        cells = round(BAR_CELLS * min(max(fraction, 0.0), 1.0))
        return full * cells + empty * (BAR_CELLS - cells)


def _bar_characters(stream: TextIO) -> tuple[str, str]:
    """A heavy and a light line where the terminal has them."""
    lines = ("\u2501", "\u2500")
    try:
        "".join(lines).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#", "."
    return lines


def table(rows: Sequence[tuple[str, str]], indent: int = 2) -> str:
    """Names and values in two aligned columns.

    Examples
    --------
    >>> print(table([("size", "11 MB"), ("threads", "2")]))
      size     11 MB
      threads  2
    """
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{'':{indent}}{name:<{width}}  {value}".rstrip() for name, value in rows)


def columns(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Several rows of cells, each column as wide as its widest cell.

    Examples
    --------
    >>> print(columns([["low", "##bit"], ["2659", "16313"]]))
      low   ##bit
      2659  16313
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        (" " * indent + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def one_line(text: str, limit: int = 2000) -> str:
    """`text` without line breaks and control characters, cut to `limit` characters.

    Examples
    --------
    >>> one_line("a name with\\n a \\x1b[31mcolour")
    'a name with a \\\\x1b[31mcolour'
    """
    joined = " ".join(text.split())
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def clip(text: str, width: int = MAX_CELL) -> str:
    """One line of a text, cut at a word's end.

    Examples
    --------
    >>> clip("a long day at the sea", 12)
    'a long ...'
    """
    line = one_line(text)
    if len(line) <= width:
        return line
    return line[: width - 3].rsplit(" ", 1)[0] + " ..."


def clock_time(seconds: float) -> str:
    """Seconds as people write them.

    Examples
    --------
    >>> clock_time(0.254), clock_time(7.2), clock_time(150)
    ('0.25 s', '7 s', '2 min 30 s')
    """
    if 0 < seconds < 0.95:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def to_json(content: Any) -> str:
    """An indented document; NaN is refused, since JSON has none."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
