"""Where results go: the folder checked before the work, the report written whole after it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from lowbit.cli.console import to_json
from lowbit.files import write_file

REPORT = "report.json"


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


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write report.json: the document that `--json` prints."""
    write_file(folder / REPORT, (to_json(report) + "\n").encode())
