"""Threads learn words from each other, and the ids of a text are the same whoever learned them."""

import random
import threading
from pathlib import Path

import numpy as np
import pytest

from lowbit import _core
from lowbit.tokenizers import Tokenizer
from test_raw_words import bert, check, near_ties, spaced

LETTERS = ["lowerbitsx", "lowerbitsx", "lower.-'", "éİ我们lo"]


def new_words(seed: int) -> list[str]:
    """Texts of words that come a few times, of all lengths that caches tell apart."""
    rng = random.Random(seed)
    lengths = [1, 3, 7, 8, 9, 15, 16, 17] * 8 + [40, 40, 40, 300, 1024, 1025]
    words = ["".join(rng.choices(rng.choice(LETTERS), k=rng.choice(lengths))) for _ in range(4000)]
    return [" ".join(rng.choices(words, k=rng.choice([1, 30, 200]))) for _ in range(300)]


def arrays_of(tokenizer: Tokenizer, texts: list[str], threads: int) -> list[np.ndarray]:
    batch = tokenizer.encode_batch(texts, num_threads=threads)
    return [batch.ids, batch.indptr, tokenizer.count_batch(texts, num_threads=threads)]


@pytest.mark.parametrize("make", [bert, spaced, near_ties])
@pytest.mark.parametrize("seed", [1, 2])
def test_new_words_in_any_number_of_threads(make, seed, same_bits):
    texts = new_words(seed)
    same_bits(lambda: arrays_of(make(), texts, _core.get_num_threads()))


@pytest.mark.parametrize("seed", [4, 10])
def test_sums_that_end_behind_a_long_word(seed):
    """sentencepiece's sums start again at 100,000, here among words that the cache has."""
    check(near_ties(), new_words(seed))


FILES = ["gpt2", "llama2", "bert-base-uncased", "xlnet"]


def parts_of(corpus: Path) -> list[str]:
    text = corpus.read_text("utf-8")
    return [text[at : at + 4000] for at in range(0, len(text), 4000)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("corpus", ["tinyshakespeare", "udhr_mix_a", "emoji", "code_synth_a"])
def test_new_words_of_corpora(name, corpus, shared_data, same_bits):
    file = shared_data / "tokenizers" / name / "tokenizer.json"
    texts = parts_of(shared_data / "corpora" / f"{corpus}.txt")
    same_bits(lambda: arrays_of(Tokenizer.from_file(file), texts, _core.get_num_threads()))


@pytest.mark.parametrize("make", [bert, spaced, near_ties])
def test_callers_at_once(make, restore_threads):
    """One of them has the pool; the others encode alone, with the same tokenizer or their own."""
    texts = new_words(3)
    expected = make().encode_batch(texts, num_threads=1).ids
    _core.set_num_threads(3)
    wrong = []

    def work(tokenizer: Tokenizer) -> None:
        for _ in range(3):
            if not np.array_equal(tokenizer.encode_batch(texts).ids, expected):
                wrong.append(tokenizer)

    shared = make()
    threads = [threading.Thread(target=work, args=(shared if i % 2 else make(),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
