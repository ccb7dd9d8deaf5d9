"""The definition of dropout's random numbers, against the published generator's test vectors."""

import numpy as np
import pytest

from lowbit import _core
from lowbit.reference.random import dropout, keep_mask, philox, random_words


def test_philox_known_answers():
    # From kat_vectors of the authors' Random123 library; the upper counter words are zero here, so
    # only the all-zero vector applies. numpy's own Philox is the 64-bit variant and cannot serve.
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox(0, np.uint64(0)).tolist() == expected


def test_every_bit_of_key_and_counter_matters():
    base = philox(0, np.uint64(0))
    for bit in range(64):
        for words in (philox(1 << bit, np.uint64(0)), philox(0, np.uint64(1 << bit))):
            changed = np.unpackbits((words ^ base).view(np.uint8)).sum()
            assert 30 <= changed <= 98  # 64 of 128 in the mean, deviation 5.7


def test_words_are_four_to_a_block():
    words = random_words(3, np.arange(12).reshape(3, 4))
    assert (words == philox(3, np.arange(3, dtype=np.uint64))).all()


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_share_of_kept_elements(p):
    kept = keep_mask(p, 5, np.arange(200_000)).mean()
    assert abs(kept - (1 - p)) <= 4 * np.sqrt(p * (1 - p) / 200_000)


@pytest.mark.parametrize("seed", [0, 1, (1 << 64) - 1])
@pytest.mark.parametrize("p", [0.1, 0.25, 0.7])
@pytest.mark.parametrize("counter", [0, 8, (1 << 34) + 4])
def test_dropout_kernel_follows_the_definition(seed, p, counter):
    x = np.random.default_rng(0).standard_normal((37, 19)).astype(np.float32)
    assert (_core.dropout(x, p, seed, counter) == dropout(x, p, seed, counter)).all()


def test_dropout_rejects_what_has_no_meaning():
    x = np.ones(4)
    with pytest.raises(ValueError, match="p=1"):
        dropout(x, 1.0, 0)
    with pytest.raises(ValueError, match="counter=2"):
        dropout(x, 0.5, 0, counter=2)
