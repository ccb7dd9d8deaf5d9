"""Damaged files, and what a reader may do with them: return, or raise `FileFormatError`."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from lowbit.errors import FileFormatError

CASES = int(os.environ.get("LOWBIT_FUZZ_CASES", "300"))
SECONDS = 5
# Bytes that mean something to one of the formats.
WORDS = [b'"', b"[", b"]", b"{", b"}", b",", b":", b"\\", b"\n", b"\r", b"\t", b"\0", b"-1", b"1e9"]
WORDS += [
    b"null",
    b"true",
    b"NaN",
    b'"\\ud800"',
    b"9" * 30,
    b"\xff",
    b"\xef\xbb\xbf",
    b".*",
    b"[[[[",
]


def mutate(data: bytes, generator: random.Random) -> bytes:
    """One to four small damages; near the front more often, for there the structure is."""
    result = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        place = int(len(result) * generator.random() ** 2)
        kind = generator.randrange(6)
        if kind == 0 and result:
            result[min(place, len(result) - 1)] ^= 1 << generator.randrange(8)
        elif kind == 1:
            del result[place:]
        elif kind == 2:
            del result[place : place + generator.randint(1, 16)]
        elif kind == 3:
            result[place:place] = generator.choice(WORDS)
        elif kind == 4:
            result[place : place + 1] = bytes([generator.randrange(256)])
        else:
            start = generator.randrange(len(result) + 1)
            result[place:place] = result[start : start + generator.randint(1, 40)]
    return bytes(result)


def count_refused(
    reader: str, file: Path, read: Callable[[], object], alarm: Callable[[float], None], cases: int
) -> int:
    """How many of `cases` damages of a good file were noticed; fails on any other error."""
    good, refused = file.read_bytes(), 0
    for seed in range(cases):
        data = mutate(good, random.Random(f"{reader} {seed}"))
        file.write_bytes(data)
        alarm(SECONDS)
        try:
            read()
        except FileFormatError as error:
            refused += 1
            assert str(error).isprintable() and len(str(error)) < 2000, f"seed {seed}"
        except FileNotFoundError:
            # modules.json may come to name a folder that is not there.
            assert reader == "modules", f"seed {seed}"
        except Exception as error:
            pytest.fail(f"{reader}, seed {seed}: {type(error).__name__}: {error}; file {data!r}")
        finally:
            alarm(0)
    file.write_bytes(good)
    return refused
