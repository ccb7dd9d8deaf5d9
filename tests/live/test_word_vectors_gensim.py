"""Word vectors beside gensim: files both ways, answers, tests of quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lowbit as lb

keyed = pytest.importorskip("gensim.models.keyedvectors", reason="needs gensim")
# gensim leaves files open and calls functions of its own that it has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def both() -> tuple[lb.WordVectors, object]:
    """Random vectors of the words of a few hundred countries and capitals, and others."""
    rng = np.random.default_rng(0)
    names = [f"word{i}" for i in range(3000)]
    vectors = rng.standard_normal((3000, 30)).astype(np.float32)
    theirs = keyed.KeyedVectors(30)
    theirs.add_vectors(names, vectors)
    return lb.WordVectors(names, vectors), theirs


@pytest.mark.parametrize("binary", [False, True])
def test_files_go_both_ways(both: tuple, binary: bool, tmp_path: Path) -> None:
    ours, theirs = both
    theirs.save_word2vec_format(str(tmp_path / "theirs"), binary=binary)
    read = lb.WordVectors.load(tmp_path / "theirs")
    assert read.words == ours.words and read.vectors.tobytes() == ours.vectors.tobytes()
    ours.save(tmp_path / "ours", "binary" if binary else "text")
    again = keyed.KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), binary=binary)
    assert again.index_to_key == ours.words and again.vectors.tobytes() == ours.vectors.tobytes()


def test_glove_text_goes_to_gensim(both: tuple, tmp_path: Path) -> None:
    ours, _ = both
    ours.save(tmp_path / "ours", "glove")
    again = keyed.KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), no_header=True)
    assert again.vectors.tobytes() == ours.vectors.tobytes()


def test_answers_are_gensims(both: tuple) -> None:
    ours, theirs = both
    for ask in (
        {"positive": ["word5"]},
        {"positive": ["word5", "word6"], "negative": ["word7"]},
    ):
        expected = theirs.most_similar(**ask, topn=20)
        got = ours.most_similar(**ask, top=20)
        assert [word for word, _ in got] == [word for word, _ in expected]
        np.testing.assert_allclose([s for _, s in got], [s for _, s in expected], atol=1e-6)
    expected = theirs.most_similar_cosmul(positive=["word2", "word3"], negative=["word1"], topn=5)
    got = ours.analogy("word1", "word2", "word3", top=5, method="3cosmul")
    assert [word for word, _ in got] == [word for word, _ in expected]


def test_tests_of_quality_score_as_gensims(shared_data: Path) -> None:
    folder = shared_data / "embeddings"
    rng = np.random.default_rng(1)
    lines = (folder / "questions-words.txt").read_text().split("\n")
    questions = [line.split() for line in lines if line and not line.startswith(":")]
    lines = (folder / "wordsim353.tsv").read_text().split("\n")
    pairs = [line.split("\t")[:2] for line in lines if line and line[0] != "#"]
    names = list(dict.fromkeys(w.lower() for q in [*questions[:3000], *pairs] for w in q))
    names = names[::-1]  # so that a limit cuts off some of the questions' words
    # A word is its letters and a little noise: some answers are right.
    letters = {c: rng.standard_normal(40) for c in sorted(set("".join(names)))}
    vectors = np.stack([sum(letters[c] for c in name) for name in names]).astype(np.float32)
    theirs = keyed.KeyedVectors(40)
    theirs.add_vectors(names, vectors)
    ours = lb.WordVectors(names, vectors)
    path = str(folder / "questions-words.txt")
    for limit in (300_000, len(names) - 100):
        score, sections = theirs.evaluate_word_analogies(path, restrict_vocab=limit)
        report = ours.evaluate_analogies(path, limit=limit)
        assert 0 < report.accuracy == pytest.approx(score, abs=1e-12)
        total = sum(len(sections[-1][kind]) for kind in ("correct", "incorrect"))
        assert report.total == total
    pearson, spearman, unknown = theirs.evaluate_word_pairs(str(folder / "wordsim353.tsv"))
    pairs_report = ours.evaluate_word_pairs(folder / "wordsim353.tsv")
    assert pairs_report.pearson == pytest.approx(pearson[0], abs=1e-6)
    assert pairs_report.spearman == pytest.approx(spearman[0], abs=1e-6)
    total = pairs_report.pairs + pairs_report.unknown
    assert 100 * pairs_report.unknown / total == pytest.approx(unknown)
