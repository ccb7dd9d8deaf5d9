"""Fixtures of the tests with broken files."""

import signal

import pytest
from damage import SECONDS


@pytest.fixture
def alarm():
    """A reader that hangs fails the test instead of stopping the run."""

    def expired(_number, _frame):
        raise TimeoutError(f"a reader took over {SECONDS} s")

    previous = signal.signal(signal.SIGALRM, expired)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)
