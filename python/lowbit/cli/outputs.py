"""Where commands put their results: checked before any work, written whole."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path
from typing import Any

from lowbit.cli import picture
from lowbit.cli.console import Console, clock_time, table, to_json
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.files import write_file


def prepare_folder(path: str) -> Path:
    """Make the folder `--out`; what is in it stays.

    Raises
    ------
    OSError
        A file has this name, or nothing may be written there. Known now, not after the training.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "--out is a file, not a folder", path)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "nothing may be written into --out", path)
    return folder


def check_output(
    command: str, output: str, endings: tuple[str, ...], option: str = "--output"
) -> Path:
    """The path of `option`, where a file with one of these endings may be written.

    Raises
    ------
    ValueError
        It ends in something else.
    OSError
        Nothing can be written there. Known now: a large file may take its time.
    """
    path = Path(output)
    if endings and path.suffix not in endings:
        rule = " or ".join(endings)
        raise ValueError(f"{command}: {option} must end in {rule}; got {output!r}")
    if path.is_dir():
        raise IsADirectoryError(f"{command}: {option} {output!r} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{command}: the folder of {option} {output!r} does not exist")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{command}: the folder of {option} {output!r} cannot be written")
    return path


def finish(
    folder: Path,
    report: dict[str, Any],
    rows: list[tuple[str, str]],
    watch: Stopwatch,
    args: argparse.Namespace,
    console: Console,
) -> None:
    """Write report.json and the picture, print the closing table or the JSON document.

    Parameters
    ----------
    folder
        `--out`.
    report
        Figures of the command; those of the machine and the process are added.
    rows
        Of the closing table, likewise.
    """
    report = report | {
        "machine": machine(),
        "peak_memory_bytes": peak_memory(),  # before matplotlib, which is no part of the job
        "seconds": watch.seconds,
    }
    write_file(folder / "report.json", (to_json(report) + "\n").encode())
    saved = ("whole model", str(folder / "model"))
    if "adapter" in report:
        saved = ("adapter", f"{folder / 'adapter'}  (PEFT's format)")
    rows = rows + [
        ("peak memory", megabytes(report["peak_memory_bytes"])),
        ("time", clock_time(report["seconds"])),
        ("kernels", machine_line()),
        saved,
        ("figures", f"{folder / 'report.json'}"),
    ]
    if not args.no_plot:
        rows.append(("picture", picture.draw(folder / "curves.png", report, console)))
    console.heading("Result")
    console.result(table(rows))
    console.document(report)
