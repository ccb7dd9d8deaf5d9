"""What a pickle describes, without importing, calling or making anything that it names.

A pickle is a program for a machine with a stack. Numbers, strings, lists, tuples and dictionaries
become what they are; a class or function becomes a `Name`, and an object a `Described`: the name,
the arguments it would be called with and the state it would be given. Who reads the result looks
for the few that it knows. Protocols 2 to 5, less what objects of plain classes do not need.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import Any, NamedTuple, NoReturn

from lowbit.errors import FileFormatError

MOST_CONTAINERS = 1_000_000
"""Lists, tuples, dictionaries and objects, each of which takes far more memory than its byte."""


BYTE, WORD, INT, UINT, LONG = (struct.Struct(f"<{code}") for code in "BHiIQ")
DOUBLE = struct.Struct(">d")


class Name(NamedTuple):
    """A class or function that a pickle names."""

    module: str
    name: str


@dataclass(eq=False)
class Described:
    """An object that a pickle describes.

    Attributes
    ----------
    what
        The class, or the function that would make it.
    arguments
        What it would be called with.
    state
        What it would be given then; None for nothing.
    """

    what: Name
    arguments: tuple[Any, ...]
    state: Any = None


_NOTHING = object()
"""What is at places of the memory to which nothing was written."""


def read_pickle(data: bytes | mmap, source: str) -> Any:
    """The value that the pickle in `data` describes.

    Parameters
    ----------
    data
        All bytes of the pickle.
    source
        Where it comes from; begins every message.

    Raises
    ------
    FileFormatError
        If it is no such pickle, or is broken.

    Examples
    --------
    >>> import pickle
    >>> read_pickle(pickle.dumps({"a": [1, None, b"c"], "d": 0.5}), "here")
    {'a': [1, None, b'c'], 'd': 0.5}
    >>> read_pickle(pickle.dumps(eval, 4), "here")
    Name(module='builtins', name='eval')
    """
    return _Machine(data, source).run()


class _Machine:
    """The stack, the memory of values that come again, and a method for each instruction."""

    def __init__(self, data: bytes | mmap, source: str) -> None:
        self._data, self._source, self._at = data, source, 0
        self._stack: list[Any] = []
        self._marks: list[int] = []  # where lists of operands begin
        self._memory: list[Any] = []
        self._containers = 0

    def run(self) -> Any:
        data, size = self._data, len(self._data)
        if data[:1] != b"\x80" or size < 2 or not 2 <= data[1] <= 5:
            self._refuse("is no pickle of protocol 2 to 5")
        self._at = 2
        while self._at < size:
            code = data[self._at]
            self._at += 1
            if code == 0x2E:  # STOP
                if len(self._stack) != 1 or self._marks or self._at != size:
                    self._refuse("does not end with one value")
                return self._pop()
            instruction = INSTRUCTIONS.get(code)
            if instruction is None:
                self._refuse(f"instruction {bytes([code])!r} is not read here")
            instruction(self)
        self._refuse("is not complete")

    def _refuse(self, rule: str) -> NoReturn:
        raise FileFormatError(f"{self._source}: pickle, byte {self._at}: {rule}")

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            self._refuse("is not complete")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, form: struct.Struct) -> Any:
        at, self._at = self._at, self._at + form.size
        if self._at > len(self._data):
            self._refuse("is not complete")
        return form.unpack_from(self._data, at)[0]

    def _pop(self, kind: type = object) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            self._refuse("takes a value, and there is none")
        value = self._stack.pop()
        if not isinstance(value, kind):
            self._refuse(f"has a {type(value).__name__} where that makes no sense")
        return value

    def _count(self) -> None:
        self._containers += 1
        if self._containers > MOST_CONTAINERS:
            self._refuse(f"has more than {MOST_CONTAINERS} lists, dictionaries and objects")

    def push_container(self, value: Any) -> None:
        self._count()
        self._stack.append(value)

    def mark(self) -> None:
        self._count()
        self._marks.append(len(self._stack))

    def above_mark(self) -> list[Any]:
        """All values above the last mark, which goes as well."""
        if not self._marks:
            self._refuse("takes values from a mark, and there is none")
        place = self._marks.pop()
        values = self._stack[place:]
        del self._stack[place:]
        return values

    # Values.

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def push_number(self, form: struct.Struct) -> None:
        self._stack.append(self.number(form))

    def push_long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self.number(BYTE)), "little", signed=True))

    def push_text(self, length: struct.Struct) -> None:
        try:
            self._stack.append(self._take(self.number(length)).decode())
        except UnicodeDecodeError:
            self._refuse("a string is not UTF-8")

    def push_bytes(self, length: struct.Struct) -> None:
        self._stack.append(self._take(self.number(length)))

    def push_tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self.push_container(tuple(reversed(values)))

    # Lists and dictionaries.

    def append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def appends(self) -> None:
        values = self.above_mark()
        self._top(list).extend(values)

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set(self._top(dict), [key, value])

    def set_items(self) -> None:
        values = self.above_mark()
        self._set(self._top(dict), values)

    def _top(self, kind: type = object) -> Any:
        value = self._pop(kind)
        self._stack.append(value)
        return value

    def _set(self, into: dict[Any, Any], values: list[Any]) -> None:
        if len(values) % 2:
            self._refuse("a key has no value")
        # Tuples of tuples would take forever to hash.
        if not all(isinstance(key, str | int) for key in values[::2]):
            self._refuse("a key is no string or whole number")
        into.update(zip(values[::2], values[1::2], strict=True))

    # Classes and objects.

    def name_global(self) -> None:
        parts = self._data[self._at : self._at + 512].split(b"\n", 2)
        if len(parts) < 3:
            self._refuse("a name is not complete")
        self._at += len(parts[0]) + len(parts[1]) + 2
        module, name = (part.decode("ascii", "backslashreplace") for part in parts[:2])
        self.push_container(Name(module, name))

    def name_from_stack(self) -> None:
        name, module = self._pop(str), self._pop(str)
        self.push_container(Name(module, name))

    def describe(self) -> None:
        arguments, what = self._pop(tuple), self._pop(Name)
        self.push_container(Described(what, arguments))

    def build(self) -> None:
        state = self._pop()
        self._top(Described).state = state

    # Memory.

    def keep(self) -> None:
        self._memory.append(self._top())

    def keep_at(self, form: struct.Struct) -> None:
        place, value = self.number(form), self._top()
        if place > self._at:
            self._refuse(f"keeps a value at {place}")
        while len(self._memory) <= place:
            self._memory.append(_NOTHING)
        self._memory[place] = value

    def recall(self, form: struct.Struct) -> None:
        place = self.number(form)
        if place >= len(self._memory) or self._memory[place] is _NOTHING:
            self._refuse(f"takes a value from {place}, where there is none")
        self._stack.append(self._memory[place])


# By the names of pickletools.
INSTRUCTIONS: dict[int, Callable[[_Machine], None]] = {
    ord("("): _Machine.mark,  # MARK
    ord("N"): lambda m: m.push(None),  # NONE
    0x88: lambda m: m.push(True),  # NEWTRUE
    0x89: lambda m: m.push(False),  # NEWFALSE
    ord("K"): lambda m: m.push_number(BYTE),  # BININT1
    ord("M"): lambda m: m.push_number(WORD),  # BININT2
    ord("J"): lambda m: m.push_number(INT),  # BININT
    ord("G"): lambda m: m.push_number(DOUBLE),  # BINFLOAT
    0x8A: _Machine.push_long,  # LONG1
    ord("X"): lambda m: m.push_text(UINT),  # BINUNICODE
    0x8C: lambda m: m.push_text(BYTE),  # SHORT_BINUNICODE
    0x8D: lambda m: m.push_text(LONG),  # BINUNICODE8
    ord("B"): lambda m: m.push_bytes(UINT),  # BINBYTES
    ord("C"): lambda m: m.push_bytes(BYTE),  # SHORT_BINBYTES
    0x8E: lambda m: m.push_bytes(LONG),  # BINBYTES8
    0x96: lambda m: m.push_bytes(LONG),  # BYTEARRAY8
    ord("]"): lambda m: m.push_container([]),  # EMPTY_LIST
    ord("}"): lambda m: m.push_container({}),  # EMPTY_DICT
    ord(")"): lambda m: m.push_tuple(0),  # EMPTY_TUPLE
    0x85: lambda m: m.push_tuple(1),  # TUPLE1
    0x86: lambda m: m.push_tuple(2),  # TUPLE2
    0x87: lambda m: m.push_tuple(3),  # TUPLE3
    ord("t"): lambda m: m.push_container(tuple(m.above_mark())),  # TUPLE
    0x91: lambda m: m.push_container(tuple(m.above_mark())),  # FROZENSET, as a tuple
    ord("a"): _Machine.append,  # APPEND
    ord("e"): _Machine.appends,  # APPENDS
    ord("s"): _Machine.set_item,  # SETITEM
    ord("u"): _Machine.set_items,  # SETITEMS
    ord("c"): _Machine.name_global,  # GLOBAL
    0x93: _Machine.name_from_stack,  # STACK_GLOBAL
    ord("R"): _Machine.describe,  # REDUCE
    0x81: _Machine.describe,  # NEWOBJ
    ord("b"): _Machine.build,  # BUILD
    0x94: _Machine.keep,  # MEMOIZE
    ord("q"): lambda m: m.keep_at(BYTE),  # BINPUT
    ord("r"): lambda m: m.keep_at(UINT),  # LONG_BINPUT
    ord("h"): lambda m: m.recall(BYTE),  # BINGET
    ord("j"): lambda m: m.recall(UINT),  # LONG_BINGET
    0x95: lambda m: m.number(LONG),  # FRAME
}
