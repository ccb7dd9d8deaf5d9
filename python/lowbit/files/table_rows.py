"""Text tables as rows with line numbers: TSV, CSV and JSONL, each read by its own strict rules.

TSV    fields between tabs; quotes are ordinary characters, as in the files of SST-2 and GLUE
CSV    RFC 4180: fields may be quoted, `""` is a quote, a quoted field may hold line breaks;
       the separator is a comma, or a semicolon when the first line has no comma
JSONL  one JSON object a line, all with the columns that are asked for
"""

import csv
import io
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import open_regular, parse_json, shorten

FORMATS = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "txt",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
MAX_COLUMNS = 10_000


class Row(NamedTuple):
    """One record: the line it starts on (from 1) and its cells; a dict for JSONL."""

    line: int
    cells: list[str] | dict[str, Any]


def format_of(path: str | os.PathLike, format: str | None) -> str:
    """The format asked for, or the one that the ending of the name stands for.

    Raises
    ------
    ValueError
        Neither is known.

    Examples
    --------
    >>> format_of("reviews.TSV", None)
    'tsv'
    """
    if format is None:
        ending = os.path.splitext(os.fspath(path))[1].lower()
        format = FORMATS.get(ending)
        if format is None:
            raise ValueError(
                f"{os.fspath(path)}: unknown ending {ending!r}; use one of {', '.join(FORMATS)}, "
                "or name the format"
            )
    elif format not in FORMATS.values():
        raise ValueError(f"format {format!r} is unknown; use tsv, csv, jsonl or txt")
    return format


def read_utf8(path: str | os.PathLike) -> str:
    """The text of a file, without a byte order mark; line ends stay as they are.

    Raises
    ------
    FileFormatError
        The file is empty, is not UTF-8 (names line and byte) or holds a zero byte.
    """
    with open_regular(path) as stream:
        data = stream.readall()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileFormatError(f"{path}: the file is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # utf-8-sig counts from behind the byte order mark.
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, start) + 1
        column = start - data.rfind(b"\n", 0, start)
        raise FileFormatError(
            f"{path}, line {line}, byte {column}: not UTF-8 (byte 0x{data[start]:02x}); "
            "save the file as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileFormatError(f"{path}, line {line}: a zero byte; this is no text file")
    if not text.strip():
        raise FileFormatError(f"{path}: the file is empty")
    return text


def read_lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Number and text of each line; only \\n, \\r\\n and \\r end one, so U+2028 stays in a text."""
    for number, line in enumerate(io.StringIO(read_utf8(path), newline=None), 1):
        yield number, line.removesuffix("\n")


def read_rows(path: str | os.PathLike, format: str) -> Iterator[Row]:
    """Rows of a TSV, CSV or JSONL file; lines with nothing on them are passed over.

    Parameters
    ----------
    path : str or PathLike
    format : str
        "tsv", "csv" or "jsonl".

    Raises
    ------
    OSError
        The file cannot be opened.
    FileFormatError
        Not UTF-8, empty, broken quotes, broken JSON; names the line.
    """
    if format == "csv":
        yield from _csv_rows(path)
        return
    for number, line in read_lines(path):
        if not line.strip(" \t" if format == "jsonl" else ""):
            continue
        if format == "tsv":
            yield Row(number, line.split("\t", MAX_COLUMNS))
        else:
            yield Row(number, _json_object(f"{path}, line {number}", line))


def _csv_rows(path: str | os.PathLike) -> Iterator[Row]:
    text = read_utf8(path)
    first = text.split("\n", 1)[0]
    separator = ";" if ";" in first and "," not in first else ","
    # A field may be as long as the file; the limit of the csv module is 128 KB.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileFormatError(
                f"{path}, line {start}: broken CSV: {error}; "
                'a quote inside a quoted field is written ""'
            ) from error
        if cells:
            yield Row(start, cells)
        start = reader.line_num + 1


def _json_object(source: str, line: str) -> dict[str, Any]:
    value = parse_json(line.encode("utf-8"), source)
    if not isinstance(value, dict):
        raise FileFormatError(f"{source}: one JSON object a line is expected; got {shorten(line)}")
    return value
