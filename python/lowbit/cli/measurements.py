"""What a run used: processor, kernels, threads, memory, time."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import lowbit


def peak_memory() -> int:
    """Most bytes of main memory this process has used so far.

    Linux: VmHWM, because getrusage() also counts what a large parent process had before it started
    this one. Elsewhere getrusage().
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine() -> dict[str, Any]:
    """Where and with which kernels a figure was measured."""
    info = lowbit.cpu_info()
    return {
        "cpu": info["model"],
        "isa": info["active_isa"],
        "threads": info["threads"],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "lowbit": lowbit.__version__,
    }


def machine_line() -> str:
    """The same in a few words."""
    m = machine()
    threads = "1 thread" if m["threads"] == 1 else f"{m['threads']} threads"
    return f"{m['isa']} kernels on {threads}, {m['cpu']}"


def megabytes(count: float) -> str:
    """Bytes in decimal megabytes, or kilobytes when they are few.

    Examples
    --------
    >>> megabytes(22_700_000), megabytes(48_300)
    ('22.7 MB', '48.3 kB')
    """
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def percent(share: float) -> str:
    """A share in percent.

    Examples
    --------
    >>> percent(0.925)
    '92.5 %'
    """
    return f"{100 * share:.1f} %"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds, at least a nanosecond, so that rates can be divided by it."""
        return max(time.perf_counter() - self._begin, 1e-9)
