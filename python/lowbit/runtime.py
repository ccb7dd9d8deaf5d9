"""What runs: processor, instruction set, threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lowbit import _core


def cpu_info() -> dict[str, Any]:
    """What this processor can do and what lowbit uses of it.

    Returns
    -------
    dict
        ``model`` (str), ``features`` (name -> bool), ``isas`` (instruction sets that run here,
        worst first), ``compiled_isas``, ``active_isa``, ``threads`` and ``kernels``.

    Examples
    --------
    >>> info = cpu_info()
    >>> info["active_isa"] in info["isas"]
    True
    """
    return _core.cpu_info()


def get_num_threads() -> int:
    """Number of threads an operation may use."""
    return _core.get_num_threads()


def set_num_threads(count: int) -> None:
    """Let every operation use up to `count` threads; results have the same bits for any count.

    Raises
    ------
    ValueError
        If `count` is not between 1 and 1024.
    """
    _core.set_num_threads(int(count))


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Run the block with one instruction set, then go back to the one before.

    The setting is one for the whole process: other threads see it too.

    Examples
    --------
    >>> with use_isa("scalar"):
    ...     cpu_info()["active_isa"]
    'scalar'
    """
    before = _core.active_isa()
    _core.use_isa(name)
    try:
        yield
    finally:
        _core.use_isa(before)
