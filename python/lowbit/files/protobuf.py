"""The wire format of protocol buffers: enough to read messages whose layout is known.

A message is a row of fields. Each starts with a number that holds the field's number and its wire
type; what follows is a varint, 4 bytes, 8 bytes, or a length and as many bytes (a text, bytes, or a
message again). See protobuf.dev/programming-guides/encoding. Nothing is copied and nothing is
allocated by a length that the file claims, so a lying file costs no more than its own size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NoReturn

from lowbit.errors import FileFormatError


class Wire(IntEnum):
    """How the value of a field is stored; groups, 3 and 4, are obsolete and refused."""

    VARINT = 0
    EIGHT_BYTES = 1
    BYTES = 2
    FOUR_BYTES = 5


class Reader:
    """Fields of messages in `data`, read in place.

    Parameters
    ----------
    data : bytes
        The file.
    source : str
        Where it comes from; starts every error message.

    Examples
    --------
    >>> reader = Reader(bytes([0x08, 0x96, 0x01]), "example")
    >>> list(reader.fields(0, 3))
    [(1, 0, 150, 1)]
    >>> list(Reader(bytes([0x0A, 0x05, 0x41]), "example").fields(0, 3))
    Traceback (most recent call last):
    lowbit.errors.FileFormatError: example: byte 1: 5 bytes are promised but 1 is left
    """

    def __init__(self, data: bytes, source: str):
        self.data = data
        self.source = source

    def fail(self, offset: int, problem: str) -> NoReturn:
        """Raise `FileFormatError` that names the byte."""
        raise FileFormatError(f"{self.source}: byte {offset}: {problem}")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at `at`, in [0, 2^64), and the place behind it."""
        if at < end and self.data[at] < 0x80:
            return self.data[at], at + 1
        value = 0
        for shift in range(0, 70, 7):
            place = at + shift // 7
            if place >= end:
                self.fail(at, "the message ends within a number")
            byte = self.data[place]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    break
                return value, place + 1
        self.fail(at, "a number is longer than 64 bits")

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, wire type, value and place of every field between `at` and `end`.

        The value of a varint is the number, of anything else the place behind the value; the place
        is where the value begins.

        Raises
        ------
        FileFormatError
            The message ends within a field, or a field is none.
        """
        data = self.data
        while at < end:
            start = at
            # Nearly all numbers have one byte; a call for each would double the time.
            key, at = (data[at], at + 1) if data[at] < 0x80 else self.varint(at, end)
            number, wire = key >> 3, key & 7
            if not 0 < number < 1 << 29:
                self.fail(start, f"{number} is no field number")
            place = at
            if wire == 2:
                size, at = self.varint(at, end)
            elif wire == 0:
                value, at = self.varint(at, end)
                yield number, wire, value, place
                continue
            elif wire in (1, 5):
                size = 4 if wire == 5 else 8
            else:
                self.fail(start, f"{wire} is no wire type of a field")
            if size > end - at:
                left = f"{end - at} {'is' if end - at == 1 else 'are'} left"
                self.fail(place, f"{size} bytes are promised but {left}")
            yield number, wire, at + size, at
            at += size

    def expect(self, wire: int, wanted: Wire, name: str, place: int) -> None:
        """Refuse a field of another type than its message's layout says."""
        if wire != wanted:
            self.fail(place, f"{name} is of wire type {wire}; {int(wanted)} is expected")

    def text(self, begin: int, end: int) -> str:
        """UTF-8 between two places."""
        try:
            return self.data[begin:end].decode("utf-8")
        except UnicodeDecodeError as error:
            self.fail(begin + error.start, "not UTF-8")

    def float32(self, begin: int) -> float:
        """The number in the four bytes at `begin`."""
        return struct.unpack_from("<f", self.data, begin)[0]


def signed32(value: int) -> int:
    """The int32 that a varint stands for: negative numbers are stored as 64 bits.

    Examples
    --------
    >>> signed32(2**64 - 1), signed32(2)
    (-1, 2)
    """
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
