"""GloVe's own programs, as make builds them: vocab_count, cooccur, shuffle and glove."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

PROGRAMS = ("vocab_count", "cooccur", "shuffle", "glove")
RECORD = np.dtype([("row", "<i4"), ("column", "<i4"), ("count", "<f8")])


def missing(folder: Path) -> list[str]:
    """Programs that are not there."""
    return [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]


@dataclass
class Glove:
    """One run of the four programs.

    Attributes
    ----------
    programs
        Their folder.
    work
        A folder for their files.
    seconds : dict
        What each took, by `clock`: "wall", or "cpu", of all its threads.
    """

    programs: Path
    work: Path
    clock: str = "wall"
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, name: str, arguments: list[str], source: Path | None, target: Path | None) -> str:
        """What a program says; its time goes to `seconds`."""
        command = [str((self.programs / name).resolve()), *arguments]
        begin = self.now()
        with (
            open(source or os.devnull, "rb") as given,
            open(target or os.devnull, "wb") as taken,
        ):
            done = subprocess.run(
                command, stdin=given, stdout=taken, stderr=subprocess.PIPE, cwd=self.work
            )
        self.seconds[name] = self.now() - begin
        if done.returncode:
            raise OSError(f"{name} ended with {done.returncode}: {done.stderr[-300:]!r}")
        return done.stderr.decode("utf-8", "replace")

    def now(self) -> float:
        if self.clock == "wall":
            return time.perf_counter()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def count(self, corpus: Path, window: int, min_count: int) -> None:
        """Words and pairs of a corpus: vocab.txt and pairs.bin."""
        words, pairs = self.work / "vocab.txt", self.work / "pairs.bin"
        self.run("vocab_count", ["-min-count", str(min_count)], corpus, words)
        more = ["-window-size", str(window), "-vocab-file", "vocab.txt", "-memory", "4"]
        self.run("cooccur", more, corpus, pairs)

    def shuffle(self, seed: int) -> None:
        arguments = ["-seed", str(seed + 1), "-memory", "4"]
        self.run("shuffle", arguments, self.work / "pairs.bin", self.work / "shuffled.bin")

    def train(
        self, dim: int, epochs: int, x_max: float, threads: int, seed: int, text: bool = False
    ) -> float:
        """The mean loss of the last epoch; vectors.txt has the vectors, or vectors.bin, which is
        written sooner."""
        options = {
            "-input-file": "shuffled.bin",
            "-vocab-file": "vocab.txt",
            "-save-file": "vectors",
            "-vector-size": dim,
            "-iter": epochs,
            "-x-max": x_max,
            "-threads": threads,
            "-binary": 1 - text,
            "-seed": seed + 1,
        }
        arguments = [str(part) for item in options.items() for part in item]
        said = self.run("glove", arguments, None, None)
        return float(re.findall(r"iter: \d+, cost: ([\d.]+)", said)[-1])

    def words(self) -> list[str]:
        lines = (self.work / "vocab.txt").read_text("utf-8").splitlines()
        return [line.rpartition(" ")[0] for line in lines]

    def pairs(self) -> np.ndarray:
        """Rows, columns and counts of all pairs, sorted; words are numbered from 1."""
        return np.fromfile(self.work / "pairs.bin", RECORD)
