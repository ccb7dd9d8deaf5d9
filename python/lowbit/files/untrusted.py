"""Opening files nobody vouched for: regular files only, bounded sizes, strict JSON.

Everything here raises `FileFormatError` (or the `OSError` of a file that cannot be opened) and
nothing else. Python's json module accepts more than JSON: NaN, repeated keys (the last one wins, so
two readers may see two different files), lone surrogates; all are refused.
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lowbit.errors import FileFormatError

MAX_JSON_BYTES = 16 * 1024 * 1024
"""Limit for configuration files; real ones have kilobytes."""

MAX_TOKENIZER_BYTES = 256 * 1024 * 1024
"""Limit for files of tokenizers; the largest real ones have some 40 MB."""

ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

MAX_JSON_ITEMS = 4_000_000
"""Limit on commas and on brackets, so that 100 MB of `[],[],[]` cannot become 3 GB of objects."""


def shorten(text: object, limit: int = 80) -> str:
    """`repr` of something out of a file, cut to a length that fits a message.

    Examples
    --------
    >>> shorten("a" * 100, limit=12)
    "'aaaaaaa ..."
    """
    if isinstance(text, str | bytes):
        text = text[: limit + 1]
    full = ascii(text)
    return full if len(full) <= limit else full[: limit - 4] + " ..."


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open `path` for reading; anything but a regular file is refused, for a pipe could hang us.

    Raises
    ------
    OSError
        The file does not exist or cannot be read.
    FileFormatError
        It is a folder, pipe, socket or device.

    Examples
    --------
    >>> open_regular("/")
    Traceback (most recent call last):
    lowbit.errors.FileFormatError: /: not a regular file
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(os.close, handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileFormatError(f"{path}: not a regular file")
        cleanup.pop_all()
    return os.fdopen(handle, "rb", buffering=0)


def read_bounded(path: str | os.PathLike, limit: int) -> bytes:
    """All bytes of a regular file that has at most `limit` of them.

    Raises
    ------
    OSError
        The file does not exist or cannot be read.
    FileFormatError
        It is longer than `limit` bytes, or no regular file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a"
    >>> _ = file.write_bytes(b"12345")
    >>> read_bounded(file, 5)
    b'12345'
    """
    with open_regular(path) as stream, os.fdopen(os.dup(stream.fileno()), "rb") as buffered:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise FileFormatError(f"{path}: {size} bytes; at most {limit} are accepted here")
        return buffered.read(size)


def parse_json(data: bytes, source: str, parse_float: Callable[[str], float] | None = None) -> Any:
    """Parse strict JSON; `source` (a path, or path and line) starts every error message.

    Parameters
    ----------
    data : bytes
        UTF-8 text.
    source : str
        Where it comes from.
    parse_float : function of a str, optional
        Reads numbers with a point or an exponent; it raises ValueError. None: the nearest ones.

    Raises
    ------
    FileFormatError
        Not UTF-8, not JSON, a key twice in one object, NaN or Infinity, nested too deeply, a number
        too long, half a surrogate pair, or more than `MAX_JSON_ITEMS` values.

    Examples
    --------
    >>> parse_json(b'{"rank": 8}', "config")
    {'rank': 8}
    >>> parse_json(b'{"rank": 8, "rank": 9}', "config")
    Traceback (most recent call last):
    lowbit.errors.FileFormatError: config: key 'rank' occurs twice in one JSON object
    """
    if max(data.count(b","), data.count(b"[") + data.count(b"{")) > MAX_JSON_ITEMS:
        raise FileFormatError(f"{source}: JSON with more than {MAX_JSON_ITEMS} values")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(items)
        if len(values) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))
            raise FileFormatError(f"{source}: key {shorten(twice)} occurs twice in one JSON object")
        return values

    def constant(name: str) -> NoReturn:
        raise FileFormatError(f"{source}: {name} is no JSON value")

    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=pairs, parse_constant=constant, parse_float=parse_float
        )
        if ESCAPED_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except FileFormatError:
        raise
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{source}: not UTF-8 at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise FileFormatError(f"{source}: half a surrogate pair in a JSON string") from error
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"{source}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    except RecursionError as error:
        raise FileFormatError(f"{source}: JSON nested too deeply") from error
    except ValueError as error:
        raise FileFormatError(f"{source}: a JSON number is too long") from error
    return value


def read_json_object(path: str | os.PathLike, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON file whose top level is an object.

    Raises
    ------
    OSError
        The file does not exist or cannot be read.
    FileFormatError
        As `parse_json`; or the top level is no object.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "config.json"
    >>> _ = file.write_text('{"hidden_size": 384}')
    >>> read_json_object(file)["hidden_size"]
    384
    """
    value = parse_json(read_bounded(path, limit), str(path))
    if not isinstance(value, dict):
        raise FileFormatError(
            f"{path}: a JSON object is expected at the top; got {type(value).__name__}"
        )
    return value


def plain_name(name: object, source: str, suffix: str = "") -> Path:
    """Accept a file name from inside a file: one component, so it cannot point out of the folder.

    Raises
    ------
    FileFormatError
        `name` is no string, empty, too long, has a separator or is `..`, or lacks the suffix.

    Examples
    --------
    >>> plain_name("model-00001-of-00002.safetensors", "index").name
    'model-00001-of-00002.safetensors'
    >>> plain_name("../secret", "index")
    Traceback (most recent call last):
    lowbit.errors.FileFormatError: index: '../secret' is not a plain file name
    """
    good = (
        isinstance(name, str)
        and 0 < len(name) <= 255
        and name not in (".", "..")
        and not any(bad in name for bad in "/\\\0:")
        and name.endswith(suffix)
    )
    if not good:
        kind = f"a plain {suffix} file name" if suffix else "a plain file name"
        raise FileFormatError(f"{source}: {shorten(name)} is not {kind}")
    return Path(name)
