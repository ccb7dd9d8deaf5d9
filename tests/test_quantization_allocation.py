"""A budget spent on options: against every possible choice, and where sums are too many."""

import numpy as np
import pytest

from lowbit.quantization import allocation
from lowbit.quantization.allocation import allocate, parse_size
from lowbit.reference.allocation import allocate as every_choice


def random_case(rng: np.random.Generator) -> tuple[list[list[int]], list[list[float]], int]:
    """Few items with whole losses, so that many choices are alike; some budgets fit nothing."""
    counts = rng.integers(1, 5, rng.integers(1, 6))
    sizes = [rng.integers(1, 30, count).tolist() for count in counts]
    losses = [rng.integers(0, 20, count).astype(float).tolist() for count in counts]
    return sizes, losses, int(rng.integers(1, 100))


def total(values: list[list], choice: list[int]) -> float:
    return sum(options[i] for options, i in zip(values, choice, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_better_and_nothing_as_good_is_smaller(seed):
    rng = np.random.default_rng(seed)
    fitted = 0
    for _ in range(250):
        sizes, losses, budget = random_case(rng)
        best = every_choice(sizes, losses, budget)
        if best is None:
            with pytest.raises(ValueError, match=f"is below {sum(map(min, sizes))}"):
                allocate(sizes, losses, budget)
            continue
        fitted += 1
        choice = allocate(sizes, losses, budget)
        assert total(losses, choice) == total(losses, best)
        assert total(sizes, choice) == total(sizes, best)
    assert fitted > 100


def test_with_too_many_sums_the_choice_fits_and_is_nearly_as_good(monkeypatch):
    rng = np.random.default_rng(0)
    sizes = np.sort(rng.integers(10**5, 10**7, (12, 4)), axis=1).tolist()
    losses = np.sort(rng.random((12, 4)), axis=1)[:, ::-1].tolist()
    smallest = sum(options[0] for options in sizes)
    for budget in (smallest, smallest + 10**7, smallest + 3 * 10**7):
        monkeypatch.undo()
        best = total(losses, allocate(sizes, losses, budget))
        monkeypatch.setattr(allocation, "MOST_SUMS", 256)
        choice = allocate(sizes, losses, budget)
        assert total(sizes, choice) <= budget
        assert best <= total(losses, choice) <= 1.05 * best


def test_no_items_take_nothing():
    assert allocate([], [], 0) == []


@pytest.mark.parametrize(
    ("size", "count"),
    [(5, 5), (2.5e6, 2_500_000), ("20MB", 20_000_000), (" 19.5 mib ", 20447232), ("7kB", 7000)],
)
def test_sizes(size, count):
    assert parse_size(size) == count


@pytest.mark.parametrize("size", ["", "MB", "20 bits", "-1MB", "1e3", 0, -5, float("nan"), "9e9GB"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match="is no size; use bytes"):
        parse_size(size)
