"""Functions that take turns: machines drift, so what is compared runs in the same minutes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import process

SPAN = "ms (range of rounds)"
"""Heading of `Subject.span`."""


@dataclass
class Subject:
    """One way to compute something, and what it must give.

    Attributes
    ----------
    run
        Computes; its result is thrown away while the clock runs.
    expected
        The result in double precision, from the numbers this subject really stores.
    tolerance
        Largest allowed |result - expected| / |expected|, Euclidean norms of the whole arrays.
    to_numpy
        Turns what `run` returns into an array.
    nbytes
        Bytes of the weights it reads.
    seconds
        Of each round, once timed: the median of its calls if nothing else is asked for.
    """

    name: str
    run: Callable[[], Any]
    expected: np.ndarray
    tolerance: float
    nbytes: int
    to_numpy: Callable[[Any], np.ndarray] = np.asarray
    seconds: list[float] = field(default_factory=list)

    def check(self) -> None:
        """Raise AssertionError when the result is not what it must be."""
        got = np.asarray(self.to_numpy(self.run()), np.float64)
        error = np.linalg.norm(got - self.expected) / np.linalg.norm(self.expected)
        if not error <= self.tolerance:
            raise AssertionError(f"{self.name}: relative error {error:.2e} > {self.tolerance:.0e}")

    def median(self) -> float:
        """Seconds of one call: the median of the rounds."""
        return statistics.median(self.seconds)

    def span(self) -> str:
        """Milliseconds, and in brackets those of the fastest and of the slowest round."""
        fastest, slowest = (1e3 * of(self.seconds) for of in (min, max))
        return f"{1e3 * self.median():.3f} ({fastest:.3f} - {slowest:.3f})"


def print_bandwidths(subjects: list[Subject]) -> None:
    """A table of what was timed: times, and bytes for each second."""
    lines = [[s.name, s.span(), f"{s.nbytes / s.median() / 1e9:.1f}"] for s in subjects]
    process.print_table(["", SPAN, "GB/s"], lines)


def take_turns(
    subjects: list[Subject],
    rounds: int,
    slot: float = 0.1,
    least: int = 3,
    clock: Callable[[], float] = time.perf_counter,
    of_a_slot: Callable[[list[float]], float] = statistics.median,
) -> None:
    """Check every subject, then time it for a slot of seconds in every round.

    A pause goes before each slot, so that the threads of the subject before have stopped waiting
    for work in a loop. The first call of a slot is not counted, since the caches still hold what
    another subject left.

    Parameters
    ----------
    slot, least
        Seconds of a slot, and how many calls it has at least.
    clock
        Times the calls: `time.process_time` where other work on the machine must not count.
    of_a_slot
        What counts of the calls of a slot; their median if nothing else is asked for.
    """
    for subject in subjects:
        subject.check()
    for _ in range(rounds):
        for subject in subjects:
            time.sleep(0.1)
            subject.run()
            times: list[float] = []
            end = time.perf_counter() + slot
            while len(times) < least or time.perf_counter() < end:
                begin = clock()
                subject.run()
                times.append(clock() - begin)
            subject.seconds.append(of_a_slot(times))
