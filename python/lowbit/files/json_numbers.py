"""Numbers of a tokenizer.json as the tokenizers library reads them.

The reader of that library makes a number of its digits and divides by a power of ten, which is not
always the nearest: of the scores of a unigram model a quarter are off by the last bit, and of two
ways to cut a word with equal sums another one wins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from lowbit import _core

_LARGEST = (1 << 64) - 1


def read_float(digits: str) -> float:
    """The value of a number of JSON.

    Raises
    ------
    ValueError
        If it is too large, or no number.

    Examples
    --------
    >>> read_float("-7.5"), read_float("-7.2687246048924505")
    (-7.5, -7.268724604892451)
    """
    return _core.read_library_number(digits)


def write_float(value: float) -> str:
    """A number of JSON that `read_float` reads as this value.

    The shortest text of the value mostly is one, or one with more digits, or the text of a
    neighbour. One value in some hundreds no text gives, and is never read: for those it is the
    shortest, which is read as a neighbour.

    Examples
    --------
    >>> write_float(-7.5), write_float(-7.2687246048924505)
    ('-7.5', '-7.26872460489245054')
    >>> read_float(write_float(-7.2687246048924505)) == -7.2687246048924505
    True
    """
    for text in _texts_near(value):
        if read_float(text) == value:
            return text
    return repr(value)


def _texts_near(value: float) -> Iterator[str]:
    yield repr(value)
    yield f"{value:.17g}"
    for limit in (-math.inf, math.inf):
        yield repr(math.nextafter(value, limit))
    # The reader rounds the number of all digits, and then the quotient: each length rounds anew.
    exact, sign = Fraction(abs(value)), "-" if value < 0 else ""
    size = math.floor(math.log10(abs(value)))
    for digits in range(15, 20):
        power = digits - size
        number = round(exact * Fraction(10) ** power)
        step = max(1, int(math.ulp(float(number))))
        for offset in (0, step, -step, 2 * step, -2 * step):
            if 0 < number + offset <= _LARGEST:
                yield f"{sign}{Decimal(number + offset).scaleb(-power)}"
