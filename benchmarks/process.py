"""Measuring one subject in a process of its own, so that its memory is its own.

A subject is a program that prints one JSON object as its last line. The benchmarks here start them
in rounds and never import them: machines drift, so subjects that are to be compared take turns.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def peak_bytes() -> int:
    """Most main memory that this process has had at once.

    Linux: VmHWM; getrusage() would also count what the parent had when it started this process.
    """
    if Path("/proc/self/status").exists():
        return status_bytes("VmHWM")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def status_bytes(key: str) -> int:
    """A figure of Linux's /proc/self/status: VmRSS, what is resident; VmHWM, the most there was;
    RssAnon, of it the pages that are in no file."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def report(**figures: Any) -> None:
    """Print the figures of this process, and its peak memory, as the last line."""
    print(json.dumps({**figures, "peak_mb": round(peak_bytes() / 1e6, 1)}), flush=True)


@dataclass(frozen=True)
class Subject:
    """A program, the interpreter it needs and what it is told in every round."""

    name: str
    python: str
    program: Path
    arguments: list[str]

    def run(self, more: list[str], threads: int) -> dict[str, Any]:
        """Its figures; {"error": ...} when it fails, for a rival may be missing."""
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "LOWBIT_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        command = [self.python, str(self.program), *self.arguments, *more]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            return {"error": f"exit {done.returncode}: {last}"}
        return json.loads(lines[-1])


def take_turns(
    subjects: list[Subject], rounds: list[list[str]], threads: int
) -> list[list[dict[str, Any]]]:
    """Run every subject once per round, with the arguments of the round; figures by subject.

    A subject that failed is not run again.
    """
    results: list[list[dict[str, Any]]] = [[] for _ in subjects]
    for number, more in enumerate(rounds, 1):
        for subject, figures in zip(subjects, results, strict=True):
            if figures and "error" in figures[-1]:
                continue
            figures.append(subject.run(more, threads))
            line = {"round": number, "subject": subject.name, **figures[-1]}
            print(json.dumps(line), flush=True)
    return results


def median_and_range(values: list[float]) -> str:
    """What a table shows of one figure over all rounds."""
    return f"{statistics.median(values):.0f} ({min(values):.0f} - {max(values):.0f})"


def failure(name: str, rounds: list[dict[str, Any]], columns: int) -> list[str] | None:
    """The line of `columns` cells of a subject that failed, or None."""
    if "error" not in rounds[-1]:
        return None
    return [name, rounds[-1]["error"][:60], *["-"] * (columns - 2)]


def peak_memory(rounds: list[dict[str, Any]]) -> str:
    """What a table shows of the memory of a subject: the most of all rounds."""
    return f"{max(figures['peak_mb'] for figures in rounds):.0f} MB"


def model_folder(named: str | None) -> str:
    """The folder that an option names, or that of the installed all-MiniLM-L6-v2."""
    if named:
        return named
    from lowbit.files import find_bundled_model  # which the environments of rivals do not have

    return str(find_bundled_model())


def machine() -> str:
    """Processor and operating system in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return (
        f"{model}, {os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}"
    )


def multiplies_bf16() -> bool:
    """Whether the processor has instructions for bfloat16 products (AVX-512 BF16 or AMX)."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A Markdown table."""
    widths = [max(len(r[i]) for r in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, ["-" * w for w in widths], *rows]:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |")
