"""Regular expressions over module names that cannot hang.

An adapter's configuration may hold regular expressions (PEFT's `target_modules` as one string,
keys of `rank_pattern`). It comes from strangers, and Python's `re` backtracks: `(.+.?)+!` takes a
minute on 24 characters. Here the pattern becomes a small automaton that is run on all paths at once
(Thompson 1968), in time proportional to len(pattern) * len(name), whatever the pattern; a budget
bounds what one pattern may cost over all names.

Understood, with the meaning it has in `re.fullmatch`: characters, `.`, `\\.` and other escaped
punctuation, `\\d \\w \\D \\W`, `[abc] [a-z] [^.]`, groups `( )` and `(?: )`, `|`, and the repeats
`* + ? {m} {m,n}`, also lazy. All else is refused: anchors, back references, look-around, flags.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lowbit.files.untrusted import shorten

MAX_PATTERN = 500
MAX_STEPS = 500
MAX_DEPTH = 20
MAX_NAME = 512
MAX_WORK = 5_000_000  # visited places, about a second; a real pattern on a real model needs 1e5

# One step of the automaton: a test of the character (then go on to the next step), or the steps to
# be at as well without reading anything.
Step = Callable[[str], bool] | tuple[int, ...]


@dataclass(frozen=True)
class ModulePattern:
    """A compiled pattern.

    Parameters
    ----------
    text : str
        At most 500 characters.

    Raises
    ------
    ValueError
        The pattern is wrong, too large, or uses something that is not understood.

    Examples
    --------
    >>> pattern = ModulePattern(r".*layer\\.(0|1)\\..*\\.(query|value)")
    >>> pattern.matches("encoder.layer.1.attention.self.query")
    True
    >>> pattern.matches("encoder.layer.2.attention.self.query")
    False
    """

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > MAX_PATTERN:
            raise ValueError(f"pattern {shorten(self.text)} has over {MAX_PATTERN} characters")
        object.__setattr__(self, "_steps", _Compiler(self.text).compile())
        object.__setattr__(self, "_work", [0])

    def matches(self, name: str) -> bool:
        """Whether the whole of `name` (at most 512 characters) is matched."""
        if len(name) > MAX_NAME:
            raise ValueError(f"module name {shorten(name)} has over {MAX_NAME} characters")
        steps: list[Step] = self._steps
        end = len(steps)
        here = _closure(steps, [0])
        for character in name:
            if not here:
                return False
            self._work[0] += len(here)
            if self._work[0] > MAX_WORK:
                raise ValueError(f"pattern {shorten(self.text)} takes too long to match")
            reached = []
            for place in here:
                step = steps[place] if place < end else ()
                if callable(step) and step(character):
                    reached.append(place + 1)
            here = _closure(steps, reached)
        return end in here


def _closure(steps: list[Step], places: list[int]) -> set[int]:
    """All places that can be reached from `places` without reading a character."""
    seen: set[int] = set()
    waiting = list(places)
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        step = steps[place] if place < len(steps) else ()
        if not callable(step):
            waiting.extend(step)
    return seen


class _Compiler:
    """Recursive descent over the pattern; each rule returns a list of steps.

    Jumps inside a list are absolute, so a list that moves is shifted by `_moved`.
    """

    def __init__(self, text: str):
        self.text = text
        self.position = 0

    def compile(self) -> list[Step]:
        steps = self._alternatives(0)
        if self.position < len(self.text):
            raise self._error("has a ) too many")
        return steps

    def _alternatives(self, depth: int) -> list[Step]:
        if depth > MAX_DEPTH:
            raise self._error("has groups nested too deeply")
        steps = self._sequence(depth)
        while self._take("|"):
            other = self._sequence(depth)
            # 0: both ways; first way; jump over the second; second way
            second = len(steps) + 2
            end = second + len(other)
            steps = [(1, second), *_moved(steps, 1), (end,), *_moved(other, second)]
            self._check_size(steps)
        return steps

    def _sequence(self, depth: int) -> list[Step]:
        steps: list[Step] = []
        while self.position < len(self.text) and self.text[self.position] not in "|)":
            part = self._repeated(self._atom(depth))
            steps += _moved(part, len(steps))
            self._check_size(steps)
        return steps

    def _repeated(self, atom: list[Step]) -> list[Step]:
        least, most = self._counts()
        if (least, most) == (1, 1):
            return atom
        steps: list[Step] = []
        for _ in range(least):
            steps += _moved(atom, len(steps))
            self._check_size(steps)
        if most is None:
            start, end = len(steps), len(steps) + len(atom) + 2
            return [*steps, (start + 1, end), *_moved(atom, start + 1), (start,)]
        for _ in range(most - least):
            start, end = len(steps), len(steps) + len(atom) + 1
            steps += [(start + 1, end), *_moved(atom, start + 1)]
            self._check_size(steps)
        return steps

    def _counts(self) -> tuple[int, int | None]:
        """The repeat that follows an atom: (least, most), most None for no limit."""
        counts: tuple[int, int | None] = (1, 1)
        if self._take("*"):
            counts = (0, None)
        elif self._take("+"):
            counts = (1, None)
        elif self._take("?"):
            counts = (0, 1)
        elif self._take("{"):
            inside, closed, _ = self.text[self.position :].partition("}")
            least, comma, most = inside.partition(",")
            numbers = [part for part in (least, most) if part]
            good = all(n.isascii() and n.isdigit() and len(n) <= 3 for n in numbers)
            if not closed or not good or not least:
                raise self._error("has a { that is no {m}, {m,} or {m,n}")
            self.position += len(inside) + 1
            upper = int(most) if most else None if comma else int(least)
            counts = (int(least), upper)
            if upper is not None and upper < int(least):
                raise self._error("has a {m,n} with m above n")
        if counts != (1, 1):
            self._take("?")  # lazy: the same names match
        if self.position < len(self.text) and self.text[self.position] in "*+?{":
            raise self._error("repeats a repeat")
        return counts

    def _atom(self, depth: int) -> list[Step]:
        character = self._next()
        if character == "(":
            if self._take("?") and not self._take(":"):
                raise self._error("uses (?...), of which only (?: ) is understood")
            inner = self._alternatives(depth + 1)
            if not self._take(")"):
                raise self._error("lacks a )")
            return inner
        if character == "[":
            return [self._class()]
        if character == "\\":
            return [self._escape()]
        if character == ".":
            return [lambda c: c != "\n"]
        if character in "*+?{}]^$":
            raise self._error(f"has {character!r} where it is not understood")
        return [character.__eq__]

    def _escape(self) -> Callable[[str], bool]:
        character = self._next()
        kinds: dict[str, Callable[[str], bool]] = {
            "d": str.isdecimal,
            "w": _is_word,
            "D": lambda c: not c.isdecimal(),
            "W": lambda c: not _is_word(c),
        }
        if character in kinds:
            return kinds[character]
        if character.isalnum() or not character.isascii():
            raise self._error(f"uses \\{character}, which is not understood")
        return character.__eq__

    def _class(self) -> Callable[[str], bool]:
        negated = self._take("^")
        tests: list[Callable[[str], bool]] = []
        while not self._take("]"):
            first = self._next()
            following = self.text[self.position : self.position + 1]
            if first == "[" or (first == "-" and tests and following != "]"):
                raise self._error(f"has {first!r} inside [ ]; write \\{first}")
            if first == "\\":
                tests.append(self._escape())
                continue
            rest = self.text[self.position : self.position + 2]
            if rest[:1] == "-" and rest[1:] not in ("]", ""):
                self.position += 1
                last = self._next()
                if last in "\\[" or last < first:
                    raise self._error("has a wrong range inside [ ]")
                tests.append(lambda c, low=first, high=last: low <= c <= high)
            else:
                tests.append(first.__eq__)
        if not tests:
            raise self._error("has an empty [ ]")
        return lambda c: any(test(c) for test in tests) != negated

    def _next(self) -> str:
        if self.position >= len(self.text):
            raise self._error("ends too early")
        self.position += 1
        return self.text[self.position - 1]

    def _take(self, expected: str) -> bool:
        found = self.text[self.position : self.position + 1] == expected
        self.position += found
        return found

    def _check_size(self, steps: list[Step]) -> None:
        if len(steps) > MAX_STEPS:
            raise self._error(f"needs over {MAX_STEPS} steps")

    def _error(self, problem: str) -> ValueError:
        return ValueError(f"pattern {shorten(self.text)} {problem}")


def _moved(steps: list[Step], by: int) -> list[Step]:
    return [s if callable(s) else tuple(target + by for target in s) for s in steps]


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
