"""Labelled texts from TSV, CSV and JSONL files, with errors that name the line.

A file may have a header (`sentence<TAB>label`) or none (`text<TAB>label`, as SST-2 has it). Labels
may be numbers or words; they become ids 0, 1, ... in the order of the numbers or of the alphabet,
and the names are kept. Nothing is dropped silently: an empty text, a ragged row or a label that is
not known stops the reading with the line where it stands.
"""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.table_rows import Row, format_of, read_lines, read_rows
from lowbit.files.untrusted import shorten

# Header words, tried in this order.
TEXT_COLUMNS = ("text", "sentence", "review", "content", "comment", "body", "tweet", "message")
LABEL_COLUMNS = ("label", "labels", "class", "category", "sentiment", "target", "polarity", "y")
MAX_CLASSES = 10_000


class LabelledTexts(NamedTuple):
    """What `read_labelled` returns; unpacks as `texts, labels, label_names`.

    Attributes
    ----------
    texts : list of str
    labels : ndarray
        int64 [len(texts)], each in [0, len(label_names)).
    label_names : tuple of str
    """

    texts: list[str]
    labels: np.ndarray
    label_names: tuple[str, ...]


def read_labelled(
    path: str | os.PathLike,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    label_names: Sequence[str] | None = None,
    format: str | None = None,
    allow_empty: bool = False,
    allow_one_class: bool = False,
) -> LabelledTexts:
    """Read texts and their classes.

    Parameters
    ----------
    path : str or PathLike
        .tsv, .tab, .txt (tabs), .csv, .jsonl or .ndjson; UTF-8.
    text_column, label_column : str, optional
        Names in the header, or keys of the JSON objects. Default: well-known names ("text",
        "sentence", "review" ...; "label", "class", "sentiment" ...). A TSV or CSV of two columns
        needs no header: the column with fewer different values is then the label.
    label_names : sequence of str, optional
        The classes in the order of their ids, as a model was trained with. Labels in the file must
        be among these names, or whole numbers from 0 to len(label_names) - 1.
    format : str, optional
        "tsv", "csv" or "jsonl", whatever the file is called.
    allow_empty : bool
        Accept texts without any visible character.
    allow_one_class : bool
        Accept a file whose labels are all the same; for prediction and tests.

    Returns
    -------
    LabelledTexts

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        The ending is unknown and no format is given, or a name occurs twice in `label_names`.
    FileFormatError
        Not UTF-8, empty, columns missing, rows of different length, broken quotes or JSON, an
        empty text, a label missing, unknown or out of range, one class only.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.tsv"
    >>> _ = path.write_text("a joy from start to end\\t1\\nnot worth the time\\t0\\n")
    >>> texts, labels, names = read_labelled(path)
    >>> texts[0], labels, names
    ('a joy from start to end', array([1, 0]), ('0', '1'))
    """
    kind = format_of(path, format)
    kind = "tsv" if kind == "txt" else kind
    if label_names is not None and len(set(label_names)) != len(label_names):
        raise ValueError(f"read_labelled: label_names must differ; got {list(label_names)!r}")
    rows = list(read_rows(path, kind))
    rows, text_key, label_key = _choose_columns(path, rows, text_column, label_column)
    texts = _texts(path, rows, text_key, allow_empty)
    raw = [_label(path, row, label_key) for row in rows]
    names = _class_names(raw) if label_names is None else tuple(label_names)
    labels = _label_ids(path, rows, raw, names, given=label_names is not None)
    present = np.unique(labels)
    if len(present) < 2 and not allow_one_class:
        raise FileFormatError(
            f"{path}: all {len(texts)} rows have the label {shorten(names[present[0]])}; "
            "two classes at least are needed"
        )
    if label_names is None and len(names) > max(20, len(texts) // 2):
        raise FileFormatError(
            f"{path}: {len(names)} different labels in {len(texts)} rows; "
            "is this the column of the classes? Name it with label_column"
        )
    return LabelledTexts(texts, labels, names)


def read_texts(
    path: str | os.PathLike,
    text_column: str | None = None,
    *,
    format: str | None = None,
    allow_empty: bool = False,
) -> list[str]:
    """Read texts alone: one a line from .txt, or one column of a table.

    Parameters
    ----------
    path : str or PathLike
    text_column : str, optional
        As in `read_labelled`. A table with neither header nor name: the column with the most
        different values, then the longest.
    format : str, optional
        "txt", "tsv", "csv" or "jsonl".
    allow_empty : bool
        Accept empty texts, so that line i of a .txt stays text i.

    Raises
    ------
    OSError, ValueError, FileFormatError
        As `read_labelled`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "texts.txt"
    >>> _ = path.write_text("first\\nsecond\\n")
    >>> read_texts(path)
    ['first', 'second']
    """
    kind = format_of(path, format)
    if kind == "txt":
        if text_column is not None:
            raise ValueError("read_texts: a .txt file has no columns; leave out text_column")
        rows = [Row(number, [line]) for number, line in read_lines(path)]
        return _texts(path, rows, 0, allow_empty)
    rows = list(read_rows(path, kind))
    if kind == "jsonl":
        key = text_column or _known(TEXT_COLUMNS, rows[0].cells)
        if key is None:
            raise _columns_error(path, "text", list(rows[0].cells), text_column)
        return _texts(path, rows, key, allow_empty)
    _check_widths(path, rows)
    header = rows[0].cells
    key = text_column or _known(TEXT_COLUMNS, header)
    if key is not None:
        return _texts(path, rows[1:], _position(path, header, key, "text_column"), allow_empty)
    columns = range(len(header))
    best = max(columns, key=lambda c: (_distinct(rows, c), sum(len(r.cells[c]) for r in rows)))
    return _texts(path, rows, best, allow_empty)


def _choose_columns(
    path: str | os.PathLike, rows: list[Row], text: str | None, label: str | None
) -> tuple[list[Row], str | int, str | int]:
    """Rows without the header, and the keys of text and label in each row's cells."""
    first = rows[0].cells
    if isinstance(first, dict):
        keys = [text or _known(TEXT_COLUMNS, first), label or _known(LABEL_COLUMNS, first)]
        for key, role, given in zip(keys, ("text", "label"), (text, label), strict=True):
            if key not in first:
                raise _columns_error(path, role, list(first), given)
        return rows, keys[0], keys[1]
    _check_widths(path, rows)
    text_name = text or _known(TEXT_COLUMNS, first)
    label_name = label or _known(LABEL_COLUMNS, first)
    if text is None and label is None and (text_name is None or label_name is None):
        if len(first) == 2:
            return _without_header(rows, text_name, label_name)
        role = "text" if text_name is None else "label"
        raise _columns_error(path, role, first, None)
    if len(first) == 2 and text_name is None:
        text_name = first[1 - _position(path, first, label_name, "label_column")]
    if len(first) == 2 and label_name is None:
        label_name = first[1 - _position(path, first, text_name, "text_column")]
    for name, role in ((text_name, "text"), (label_name, "label")):
        if name is None:
            raise _columns_error(path, role, first, None)
    if len(rows) == 1:
        raise FileFormatError(f"{path}: a header and no rows")
    text_position = _position(path, first, text_name, "text_column")
    label_position = _position(path, first, label_name, "label_column")
    return rows[1:], text_position, label_position


def _without_header(
    rows: list[Row], text_name: str | None, label_name: str | None
) -> tuple[list[Row], int, int]:
    """Two columns and no complete header. One known word and a cell that never comes again in its
    column is a header all the same: `sentence<TAB>gold`."""
    first = rows[0].cells
    if text_name is not None or label_name is not None:
        known = [_simple(cell) for cell in first].index(_simple(text_name or label_name))
        other = 1 - known
        if len(rows) > 1 and all(row.cells[other] != first[other] for row in rows[1:]):
            return (rows[1:], known, other) if text_name else (rows[1:], other, known)
    # The label is the column with fewer different values; if equal, numbers; if equal, the second.
    label = min((1, 0), key=lambda c: (_distinct(rows, c), not _all_numbers(rows, c)))
    return rows, 1 - label, label


def _check_widths(path: str | os.PathLike, rows: list[Row]) -> None:
    width = len(rows[0].cells)
    for row in rows:
        if len(row.cells) != width:
            raise FileFormatError(
                f"{path}, line {row.line}: {len(row.cells)} columns; the first line has {width}. "
                f"The row begins {shorten(row.cells[0])}"
            )


def _texts(
    path: str | os.PathLike, rows: list[Row], key: str | int, allow_empty: bool
) -> list[str]:
    """The column of the texts; all empty ones are counted before the error."""
    texts = []
    empty = []
    for row in rows:
        text = _cell(path, row, key)
        if not isinstance(text, str):
            raise FileFormatError(
                f"{path}, line {row.line}: {shorten(key)} must be a text; got {shorten(text)}"
            )
        if not text.strip():
            empty.append(row.line)
        texts.append(text)
    if empty and not allow_empty:
        raise FileFormatError(
            f"{path}, line {empty[0]}: empty text ({len(empty)} of {len(texts)} rows); "
            "remove these rows or pass allow_empty=True"
        )
    return texts


def _cell(path: str | os.PathLike, row: Row, key: str | int) -> object:
    if isinstance(row.cells, dict) and key not in row.cells:
        found = ", ".join(shorten(name) for name in list(row.cells)[:20]) or "none"
        raise FileFormatError(
            f"{path}, line {row.line}: key {shorten(key)} is missing; found {found}"
        )
    return row.cells[key]


def _label(path: str | os.PathLike, row: Row, key: str | int) -> int | str:
    """A label as the file means it: whole numbers, also 1.0, are numbers; all else is a name."""
    value = _cell(path, row, key)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    if isinstance(value, str):
        value = value.strip()
        number = value.removesuffix(".0")
        if _is_number(number):
            return int(number)
    if not isinstance(value, int | str) or value == "":
        raise FileFormatError(
            f"{path}, line {row.line}: a label is a whole number or a name; got {shorten(value)}"
        )
    return value


def _class_names(raw: Iterable[int | str]) -> tuple[str, ...]:
    """Numbers in their order, then words in theirs."""
    ordered = sorted(set(raw), key=lambda v: (isinstance(v, str), v))
    return tuple(str(value) for value in ordered)


def _label_ids(
    path: str | os.PathLike,
    rows: list[Row],
    raw: list[int | str],
    names: tuple[str, ...],
    given: bool,
) -> np.ndarray:
    """Ids of the labels; with given names a number may also be the id itself."""
    if len(names) > MAX_CLASSES:
        raise FileFormatError(f"{path}: {len(names)} different labels; at most {MAX_CLASSES}")
    ids = {name: index for index, name in enumerate(names)}
    labels = np.empty(len(raw), np.int64)
    for index, (row, value) in enumerate(zip(rows, raw, strict=True)):
        found = ids.get(str(value))
        if found is None and given and isinstance(value, int) and 0 <= value < len(names):
            found = value
        if found is None:
            known = ", ".join(shorten(name) for name in names[:20])
            raise FileFormatError(
                f"{path}, line {row.line}: label {shorten(value)} is out of range; "
                f"the classes are {known}"
            )
        labels[index] = found
    return labels


def _known(candidates: Sequence[str], cells: Iterable[str]) -> str | None:
    """The cell that is a well-known column name, whatever its case."""
    by_simple = {_simple(cell): cell for cell in reversed(list(cells))}
    return next((by_simple[name] for name in candidates if name in by_simple), None)


def _position(path: str | os.PathLike, header: list[str], name: str, argument: str) -> int:
    """Index of a column; the exact name, else the same name in other case or with spaces."""
    for form in (str, _simple):
        places = [i for i, cell in enumerate(header) if form(cell) == form(name)]
        if len(places) > 1:
            raise FileFormatError(f"{path}: {argument} {shorten(name)} occurs twice in the header")
        if places:
            return places[0]
    raise _columns_error(path, argument.removesuffix("_column"), header, name)


def _columns_error(
    path: str | os.PathLike, role: str, found: list[str], name: str | None
) -> FileFormatError:
    columns = ", ".join(shorten(cell, 40) for cell in found[:20])
    what = f"column {shorten(name)}" if name is not None else f"column of the {role}s"
    return FileFormatError(
        f"{path}: no {what}; the first line has {columns}. Name one with {role}_column"
    )


def _simple(name: str) -> str:
    return name.strip().lower()


def _distinct(rows: list[Row], column: int) -> int:
    return len({row.cells[column] for row in rows})


def _all_numbers(rows: list[Row], column: int) -> bool:
    return all(_is_number(row.cells[column].strip()) for row in rows)


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 16
