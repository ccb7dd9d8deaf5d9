"""The demo's reviews: what docs/data.md promises of them, and how load_reviews() hands them out."""

import re
import unicodedata
from collections import Counter
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from lowbit.data import LABEL_NAMES, load_reviews, read_reviews

PAGE = Path(__file__).resolve().parent.parent / "docs" / "data.md"
REVIEWS = read_reviews()
TOPICS = 16
NEGATION = re.compile(r"\b(no|not|nor|never|nothing|nobody|none|neither|cannot|\w+n't)\b")


def words(text: str) -> list[str]:
    """Lower-case words; typographic and straight apostrophes count as one character."""
    return re.findall(r"[\w']+", text.lower().replace("\u2019", "'"))


def has_negation(text: str) -> bool:
    return bool(NEGATION.search(" ".join(words(text))))


def five_grams(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[start : start + 5]) for start in range(len(found) - 4)}


def test_file_is_clean_utf8_with_four_columns():
    raw = files("lowbit.data").joinpath("reviews.tsv").read_bytes()
    text = raw.decode("utf-8")  # strict: raises on a bad byte
    assert text.endswith("\n") and "\r" not in text and "\ufeff" not in text
    header, *lines = text.removesuffix("\n").split("\n")
    assert header == "split\tlabel\ttopic\ttext"
    assert {line.count("\t") for line in lines} == {3}
    for review in REVIEWS:
        assert review.text == " ".join(review.text.split()), review
        assert unicodedata.is_normalized("NFC", review.text), review
        assert review.text[0] != '"', f"a CSV reader would take this for a quoted field: {review}"
        assert not any(unicodedata.category(c) in {"Cc", "Co", "Cn"} for c in review.text), review


def test_splits_are_balanced_in_label_and_topic():
    assert Counter((r.split, r.label) for r in REVIEWS) == {
        ("train", "negative"): 240,
        ("train", "positive"): 240,
        ("test", "negative"): 80,
        ("test", "positive"): 80,
    }
    cells = Counter((r.topic, r.split, r.label) for r in REVIEWS)
    assert len({r.topic for r in REVIEWS}) == TOPICS
    assert len(cells) == TOPICS * 4
    assert {(split, count) for (_, split, _), count in cells.items()} == {
        ("train", 15),
        ("test", 5),
    }


def test_any_start_of_a_split_mixes_labels_and_topics():
    for split in ("train", "test"):
        start = [r for r in REVIEWS if r.split == split][:64]
        assert 20 <= sum(r.label == "positive" for r in start) <= 44
        assert len({r.topic for r in start}) >= 12


@pytest.mark.parametrize("label", LABEL_NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_lengths_spread_from_a_few_words_to_a_paragraph(split, label):
    lengths = [len(words(r.text)) for r in REVIEWS if (r.split, r.label) == (split, label)]
    assert min(lengths) <= 3
    assert 40 <= max(lengths) <= 60
    assert 11 <= np.mean(lengths) <= 19
    assert sum(length >= 20 for length in lengths) >= len(lengths) / 6


@pytest.mark.parametrize("label", LABEL_NAMES)
def test_negation_appears_on_both_sides(label):
    # So "not" alone must not give the label away.
    texts = [r.text for r in REVIEWS if r.label == label]
    share = sum(map(has_negation, texts)) / len(texts)
    assert 0.2 <= share <= 0.4


def test_tokenizers_meet_accents_emoji_and_typographic_quotes():
    text = "".join(r.text for r in REVIEWS)
    assert {"\u00e9", "\u00f1", "\u2019", "\u201c", "\u2014", "\u2026"} <= set(text)
    assert sum(unicodedata.category(c) == "So" for c in text) >= 10
    for label in LABEL_NAMES:
        beyond_ascii = [r for r in REVIEWS if r.label == label and not r.text.isascii()]
        assert len(beyond_ascii) >= 20


def test_no_two_reviews_are_alike():
    bags = [set(words(r.text)) for r in REVIEWS]
    assert len({" ".join(words(r.text)) for r in REVIEWS}) == len(REVIEWS)
    for first, second in combinations(range(len(bags)), 2):
        shared, either = bags[first] & bags[second], bags[first] | bags[second]
        alike = len(shared) / len(either)
        assert alike < 0.5, (REVIEWS[first].text, REVIEWS[second].text)


def test_train_and_test_share_no_five_words_in_a_row():
    train = set().union(*(five_grams(r.text) for r in REVIEWS if r.split == "train"))
    test = set().union(*(five_grams(r.text) for r in REVIEWS if r.split == "test"))
    assert len(train) > 3000 and len(test) > 1000
    assert not train & test


def test_load_reviews_returns_the_file_in_order():
    train_texts, train_labels, test_texts, test_labels, label_names = load_reviews()
    assert label_names == LABEL_NAMES == ("negative", "positive")
    for split, texts, labels in (
        ("train", train_texts, train_labels),
        ("test", test_texts, test_labels),
    ):
        rows = [r for r in REVIEWS if r.split == split]
        assert texts == [r.text for r in rows]
        assert labels.dtype == np.int64 and labels.shape == (len(texts),)
        assert [label_names[label] for label in labels] == [r.label for r in rows]


def test_load_reviews_hands_out_fresh_arrays():
    first, second = load_reviews(), load_reviews()
    first[0].clear()
    first[1][:] = 7
    assert len(second[0]) == 480 and set(second[1]) == {0, 1}


def test_page_states_the_counts_of_the_file():
    page = " ".join(PAGE.read_text("utf-8").split())
    lengths = [len(words(r.text)) for r in REVIEWS]
    negated = Counter(r.label for r in REVIEWS if has_negation(r.text))
    for phrase in (
        f"{len(REVIEWS)} short reviews",
        f"{min(lengths)} to {max(lengths)} words, median {np.median(lengths):.0f}, "
        f"{sum(lengths):,} words in all",
        f"{negated.total()} reviews ({negated.total() / len(REVIEWS):.0%}".replace("%", " %"),
        f"{negated['negative']} of the negative ones and {negated['positive']} of the positive",
        f"{sum(not r.text.isascii() for r in REVIEWS)} hold characters beyond ASCII",
        ", ".join(sorted({r.topic for r in REVIEWS})),
    ):
        assert phrase in page, phrase


def test_examples_of_the_page_run(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "docs/data.md", "exec"), names)
    assert capsys.readouterr().out == "480 160 ('negative', 'positive')\n"
    assert len(names["by_topic"]) == 40
